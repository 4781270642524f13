/// What `-o` asked for.
///
/// libfuse's low-level session understands only the options of the mount itself. Owners, modes, caching and
/// timeouts belong to its high-level library, which nbdmount does not use: those are typed here, and
/// nbdmount does what they say. What is not known here goes to libfuse as it was written.
struct FuseOptions: Hashable, Sendable {
  var isReadOnly = false
  /// Owner and group shown on the file; nil is the mounting user's.
  var userID: UInt32?
  var groupID: UInt32?
  /// Permission bits to take away, 0 to 0o777.
  var umask: UInt32?
  var allowOther = false
  var allowRoot = false
  var defaultPermissions = false
  var autoUnmount = false
  /// For libfuse's thread pool (`--engine threads`).
  var maxThreads: UInt32?
  var maxIdleThreads: UInt32?
  var cloneDescriptor = false
  /// Keep cached pages when the file is opened again.
  var kernelCache = false
  /// The same as `--cache none`.
  var directIO = false
  var usesIOUring = false
  /// Validity of names and attributes in the kernel, in seconds.
  var entryTimeout: Double?
  var attributeTimeout: Double?
  /// Limits that the session agrees on with the kernel, bytes or requests.
  var maxRead: UInt32?
  var maxWrite: UInt32?
  var maxBackground: UInt32?
  var debug = false
  /// Replace the source and the type's suffix in the mount table.
  var fsname: String?
  var subtype: String?
  /// For libfuse, in order, unquoted.
  var passedOn: [String] = []

  init() {}

  /// The options of all `-o` arguments; where two contradict each other, the later one counts.
  init(arguments: [String]) throws(UsageError) {
    for argument in arguments {
      for option in FuseOptionList.split(argument) { try apply(option) }
    }
    if allowOther && allowRoot { throw UsageError("-o allow_other and -o allow_root exclude each other") }
    // libfuse copies the subtype into the list without quoting it. In bytes: a comma may carry an accent.
    if let subtype, subtype.utf8.contains(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\\") }) {
      throw UsageError("-o subtype must not contain a comma or a backslash")
    }
  }

  /// With other users let in, the kernel has to check the modes: nbdmount does not.
  var checksPermissions: Bool { defaultPermissions || allowOther || allowRoot }

  /// The argument vector for `fuse_session_new`, program name first.
  ///
  /// - Parameters:
  ///   - source: what the mount table shows unless `-o fsname=` says otherwise.
  ///   - readOnly: the export turned out to be read-only, or `-r`.
  ///   - debug: libfuse prints every request.
  func sessionArguments(source: String, readOnly: Bool, debug debugging: Bool) -> [String] {
    var options = ["fsname=" + (fsname ?? source), "subtype=" + (subtype ?? "nbdmount")]
    if readOnly || isReadOnly { options.append("ro") }
    if allowOther { options.append("allow_other") }
    if allowRoot { options.append("allow_root") }
    if checksPermissions { options.append("default_permissions") }
    if autoUnmount { options.append("auto_unmount") }
    if usesIOUring { options.append("io_uring") }
    if let maxRead { options.append("max_read=\(maxRead)") }
    if debugging || debug { options.append("debug") }
    return ["nbdmount"] + (options + passedOn).flatMap { ["-o", FuseOptionList.quote($0)] }
  }

  private mutating func apply(_ option: String) throws(UsageError) {
    let name = String(option.prefix { $0 != "=" })
    let value = name.utf8.count == option.utf8.count ? nil : String(option.dropFirst(name.count + 1))
    if name.hasPrefix("x-") || name.hasPrefix("X-") { return }
    guard let known = Self.known.first(where: { $0.name == name }) else {
      passedOn.append(option)
      return
    }
    if let value {
      try set(known, to: value)
    } else {
      switch known.kind {
      case .flag(let path): self[keyPath: path] = true
      case .clears(let path): self[keyPath: path] = false
      case .ignored: break
      case .number, .seconds, .text: throw UsageError("-o \(name) needs a value: -o \(name)=...")
      }
    }
  }

  private mutating func set(_ known: Known, to value: String) throws(UsageError) {
    switch known.kind {
    case .number(let path, let radix, let range):
      guard let number = UInt32(value, radix: radix), range.contains(number) else {
        throw UsageError("-o \(known.name)=\(value): not \(radix == 8 ? "an octal number" : "a number") in range")
      }
      self[keyPath: path] = number
    case .seconds(let path):
      guard let seconds = Double(value), seconds.isFinite, seconds >= 0 else {
        throw UsageError("-o \(known.name)=\(value): not a number of seconds")
      }
      self[keyPath: path] = seconds
    case .text(let path):
      guard !value.isEmpty else { throw UsageError("-o \(known.name)= needs a value") }
      self[keyPath: path] = value
    case .flag, .clears: throw UsageError("-o \(known.name) takes no value")
    case .ignored: break
    }
  }
}
