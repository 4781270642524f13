import Glibc
import NBDProtocol

/// What is done to a mount from outside of the process that serves it. The number is that of a request to ``PrivilegedMonitor``.
enum MountAction: UInt8, CaseIterable {
  /// Writes back what the kernel holds of the file.
  case sync = 1
  /// Unmounts once all is written back, and unless somebody uses it.
  case unmount
  /// Unmounts at once, out of sight: whoever uses it goes on until they close their files.
  case detach
  /// The same, if the daemon is dead, and not otherwise.
  case detachIfDead
  /// Tells the kernel the size that the file has.
  case restoreSize
  /// Ends the kernel's connection with the daemon.
  case abort
}

/// Where a mount is, and what is done to it there, through children (``Helper``).
///
/// A mount is known by its device, which no other has while this one lives, and not by its path: a directory above it may be
/// renamed, and others may have bound it to other places.
struct MountPlaces: Sendable {
  /// As it was when it was made.
  let entry: MountTable.Entry
  /// Of the export, below where it is mounted: empty where a regular file is mounted over.
  let file: String
  /// Of the file, in bytes.
  let size: UInt64
  /// There is no mount any more where the first one is gone. For who must not touch another's: the number of a device is given
  /// again.
  var endsWithTheFirst = false

  init(_ entry: MountTable.Entry, file: String, size: UInt64) {
    self.entry = entry
    self.file = file
    self.size = size
  }

  /// - Parameters:
  ///   - mountpoint: absolute and free of symbolic links, as ``Mountpoint`` gives it.
  /// - Throws: ``NBDError/invalidArgument(_:)`` where no FUSE file system is mounted there.
  init(at mountpoint: String, file: String, size: UInt64, in table: MountTable) throws(NBDError) {
    guard let entry = table.mount(at: mountpoint), entry.isFuse else {
      throw .invalidArgument("\(mountpoint) is not a FUSE mount")
    }
    self.init(entry, file: file, size: size)
  }

  /// Where it is mounted now, in this mount namespace. Asks no daemon.
  var present: [MountTable.Entry] {
    guard let table = try? MountTable.current() else { return [] }
    guard !endsWithTheFirst || table.entries.contains(where: isTheFirst) else { return [] }
    return table.entries.filter { $0.major == entry.major && $0.minor == entry.minor }
  }

  private func isTheFirst(_ other: MountTable.Entry) -> Bool {
    other.id == entry.id && other.major == entry.major && other.minor == entry.minor && other.type == entry.type
      && other.source == entry.source
  }

  /// The first one is gone, and what has its device now may be another's: it is not to be touched, and not to be taken for nothing.
  private var isOutOfReach: Bool {
    guard endsWithTheFirst, let table = try? MountTable.current(), !table.entries.contains(where: isTheFirst) else { return false }
    return table.entries.contains { $0.major == entry.major && $0.minor == entry.minor }
  }

  /// Carries it out wherever the mount is now, for as long as there is time left; nothing, with success, where it is nowhere.
  ///
  /// - Throws: ``NBDError/system(_:doing:)`` where a child cannot be started.
  func carryOut(_ action: MountAction, remaining: () -> Duration) throws(NBDError) -> HelperProcess.Result {
    if isOutOfReach {
      return HelperProcess.Result(end: .exited(Helper.unreachable), output: "it is not mounted any more where it was made")
    }
    switch action {
    case .unmount: return each(.orderly, remaining)
    case .detach: return each(.lazily, remaining)
    case .detachIfDead: return each(.ifDead, remaining)
    case .sync:
      guard let place = present.last else { return .success }
      return try Helper.sync.run(place.mountpoint + file, "\(place.id)", remaining: remaining)
    case .restoreSize:
      guard let place = present.last else { return .success }
      return try Helper.truncate.run(place.mountpoint + file, "\(place.id)", "\(size)", remaining: remaining)
    case .abort:
      try FuseConnection(minor: entry.minor).abort()
      return .success
    }
  }

  /// Unmounts it wherever it is mounted. Gives what went wrong.
  private func each(_ how: Helper.Unmounting, _ remaining: () -> Duration) -> HelperProcess.Result {
    var result = HelperProcess.Result.success
    for place in present.reversed() {
      do throws(NBDError) {
        let one = try Helper.unmount.run(place.mountpoint, "\(place.id)", how.rawValue, remaining: remaining)
        if !one.succeeded { result = one }
      } catch { result = .failure("\(error)") }
    }
    return result
  }

  /// Detaches it without a child. For root; and of a mount that is dead, or by a process that does not serve it.
  func detachHere() {
    for place in present.reversed() { _ = Helper.unmountHere(place.mountpoint, place.id, Int32(MNT_DETACH)) }
  }
}

/// Who does something to the mount: children of the process that serves it; or, where that is not root any more, the process that
/// is (``PrivilegedMonitor``).
struct MountControl: Sendable {
  let places: MountPlaces
  var monitor: PrivilegedMonitor?

  func carryOut(_ action: MountAction, remaining: () -> Duration) throws(NBDError) -> HelperProcess.Result {
    guard let monitor else { return try places.carryOut(action, remaining: remaining) }
    return monitor.carryOut(action, remaining: remaining)
  }

  /// Detaches a mount that is dead where no child could be started.
  func detachHere() {
    // The monitor needs none.
    if let monitor { _ = monitor.carryOut(.detach, remaining: countdown(Deadlines.unmount)) } else { places.detachHere() }
  }
}
