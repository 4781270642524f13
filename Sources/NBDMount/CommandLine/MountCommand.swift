import ArgumentParser

/// `nbdmount [OPTION]... MOUNTPOINT[/FILENAME] MODE`: nbdfuse's grammar, and its options. ``OptionSpelling`` has put the
/// options first.
struct MountCommand: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "nbdmount",
    abstract: "Mount a network block device (NBD) as a local file.",
    usage: """
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] MODE
      """,
    discussion: """
      MOUNTPOINT is an existing directory, where the export appears as the file
      "nbd" or FILENAME (./FILENAME in the current one), or an existing regular
      file, which the export then covers.

      MODE is one of
        URI                              nbd://HOST[:PORT]/EXPORT, nbd+unix:///...
        [ CMD ARG... ]                   start a server, and pass it a socket as
        --socket-activation CMD ARG...   systemd does (nbdkit, qemu-nbd)
        --command CMD ARG...             start one that speaks on its standard
                                         input and output (nbdkit -s)
        --tcp HOST PORT   --unix SOCKET   --vsock CID PORT   --fd N

      EXAMPLES:
        nbdmount dir nbd://server.example/disk &         the file is dir/nbd
        nbdmount -r dir/disk.img nbd+unix:///?socket=/run/nbd.sock &
        nbdmount dir/raw [ qemu-nbd -f qcow2 file.qcow2 ] &
        nbdmount --background dir --tcp ::1 10809 --export disk
        nbdmount conformance URI                         a report on the server:
                                                         nbdmount conformance --help
        fusermount3 -u dir                               flush and unmount
      """)

  @Option(
    name: [.customShort("C", allowingJoined: true), .long],
    help: ArgumentHelp("Connections, where the server allows it.", valueName: "N"))
  var connections = MountConfiguration.defaultConnections

  @Option(
    name: .customLong("export"), help: ArgumentHelp("Export to mount; a URI names its own.", valueName: "NAME"))
  var exportName: String?

  @Flag(
    name: [.customShort("r"), .customLong("readonly"), .customLong("read-only")],
    help: "Refuse writes. Implied by a read-only export.")
  var readOnly = false

  @Option(help: ArgumentHelp("Caching: writeback (like a disk), writethrough or none.", valueName: "MODE"))
  var cache: CacheMode?

  @Option(help: ArgumentHelp("How far the kernel reads ahead, such as 1M.", valueName: "SIZE"))
  var readAhead: ByteSize?

  @Option(help: ArgumentHelp("Who waits for replies: see the README.", valueName: "ENGINE"))
  var engine = MountConfiguration.Engine.reactor

  @Option(
    name: .customLong("busy-poll-us"),
    help: ArgumentHelp("Microseconds to poll before sleeping; 0: off.", valueName: "N"))
  var busyPoll: Int?

  @Flag(help: "Keep nbdmount's own memory from being paged out.")
  var mlock = false

  @Option(help: ArgumentHelp("As root: mount, then become this user.", valueName: "USER"))
  var dropPrivileges: String?

  @Option(help: ArgumentHelp("Wait for a lost server: 2m (default), forever, 0.", valueName: "TIME"))
  var reconnectTimeout: TimeSpan?

  @Option(help: ArgumentHelp("Try the first connection for so long.", valueName: "TIME"))
  var openTimeout: TimeSpan?

  @Option(help: ArgumentHelp("Give up a server that is silent for so long.", valueName: "TIME"))
  var ioTimeout: TimeSpan?

  @Option(help: ArgumentHelp("Until a server given up writes nothing more: 60.", valueName: "TIME"))
  var quiesce: TimeSpan?

  @Option(help: ArgumentHelp("Written data to keep until flushed: 64M; 0: none.", valueName: "SIZE"))
  var writeLog: ByteSize?

  @Option(help: ArgumentHelp("Another way to the export, when this one is lost.", valueName: "URI"))
  var failover: [String] = []

  @OptionGroup var tls: TLSArguments

  @Flag(help: "Return when the mount is ready.")
  var background = false

  @Option(
    name: [.customShort("P", allowingJoined: true), .customLong("pidfile"), .customLong("pid-file")],
    help: ArgumentHelp("Holds the process number once it is ready.", valueName: "PIDFILE"),
    completion: .file())
  var pidFile: String?

  @Option(
    name: .customShort("o", allowingJoined: true),
    help: ArgumentHelp("Mount options, such as allow_other,uid=1000.", valueName: "OPT,..."))
  var mountOptions: [String] = []

  @Flag(name: .shortAndLong, help: "Say on standard error what happens.")
  var verbose = false

  @Flag(name: .customShort("d"), help: "Print every FUSE request, in the foreground.")
  var debug = false

  @Flag(name: .customShort("f"), help: "Stay in the foreground (the default).")
  var foreground = false

  @Flag(name: .customShort("s"), help: "Take FUSE requests with a single thread.")
  var singleThread = false

  @Flag(help: "Explain the options of -o.")
  var fuseHelp = false

  /// These two are for a shell's completion of nbdfuse.
  @Flag(help: .hidden)
  var longOptions = false

  @Flag(help: .hidden)
  var shortOptions = false

  @Flag(name: [.customShort("V"), .long], help: "Print the version.")
  var version = false

  @Argument(
    parsing: .captureForPassthrough,
    help: .hidden,
    completion: .file())
  var words: [String] = []

  /// The mount that was asked for.
  func makeConfiguration() throws(UsageError) -> MountConfiguration {
    // The first is the "--" that ends the options.
    var words = words.dropFirst()
    guard let mountpoint = words.popFirst() else {
      throw UsageError("missing MOUNTPOINT and the server; nbdmount --help explains them")
    }
    guard !mountpoint.isEmpty else { throw UsageError("MOUNTPOINT is empty") }
    guard (1...256).contains(connections) else { throw UsageError("--connections must be 1 to 256") }
    guard busyPoll.map((0...1_000_000).contains) ?? true else {
      throw UsageError("--busy-poll-us must be 0 to 1000000")
    }

    let server = try ServerLocation(mode: Array(words))
    if case .uri = server, exportName != nil {
      throw UsageError("--export does not go with a URI: put the name into the URI")
    }
    // The specification's limit on strings.
    if let exportName, exportName.utf8.count > 4096 { throw UsageError("--export is longer than 4096 bytes") }
    let fuse = try FuseOptions(arguments: mountOptions)
    if fuse.usesIOUring, engine == .reactor { throw UsageError("-o io_uring needs --engine threads") }
    if let time = ioTimeout?.nanoseconds, time < 1_000_000_000 { throw UsageError("--io-timeout must be at least 1 s") }
    guard writeLog.map({ $0.bytes == 0 || (4 << 20...16 << 30).contains($0.bytes) }) ?? true else {
      throw UsageError("--write-log must be 0, or 4M to 16G")
    }
    if let quiesce, quiesce.nanoseconds == nil {
      throw UsageError("--quiesce forever would never let a write go on")
    }
    if !failover.isEmpty, case .fd = server { throw UsageError("--failover does not go with --fd") }
    return MountConfiguration(
      server: server, exportName: exportName, mountpoint: mountpoint,
      connections: server.allowsOneConnectionOnly ? 1 : connections,
      isReadOnly: readOnly || fuse.isReadOnly,
      engine: engine, cache: cache ?? (fuse.directIO ? CacheMode.none : nil), fuse: fuse,
      debugsFuse: debug || fuse.debug, isSingleThreaded: singleThread, isVerbose: verbose || debug,
      pidFile: pidFile, runsInBackground: background && !debug && !foreground,
      busyPollMicroseconds: busyPoll,
      patience: serverPatience,
      failover: failover, tls: try tls.options(), readAhead: readAhead?.bytes, locksMemory: mlock,
      servingUser: dropPrivileges)
  }

  private var serverPatience: ServerPatience {
    var patience = ServerPatience()
    if let openTimeout { patience.opening = openTimeout }
    if let reconnectTimeout { patience.reconnecting = reconnectTimeout }
    if let ioTimeout { patience.answer = ioTimeout }
    if let quiesce { patience.quiesce = quiesce }
    if let writeLog { patience.writeLog = writeLog.bytes }
    return patience
  }
}

extension MountConfiguration.Engine: ExpressibleByArgument {}
extension CacheMode: ExpressibleByArgument {}
