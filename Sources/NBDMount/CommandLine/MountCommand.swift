import ArgumentParser

/// `nbdmount [OPTION]... MOUNTPOINT[/FILENAME] MODE`: nbdfuse's grammar, and its options.
///
/// The grammar is positional on purpose: options are read up to MOUNTPOINT and no further, because all that
/// follows the mode word may be another program's command line.
struct MountCommand: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "nbdmount",
    abstract: "Mount a network block device (NBD) as a local file.",
    usage: """
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] URI
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] [ CMD ARG... ]
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] --command CMD ARG...
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] --unix SOCKET
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] --tcp HOST PORT
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] --vsock CID PORT
      nbdmount [OPTION]... MOUNTPOINT[/FILENAME] --fd N
      """,
    discussion: """
      MOUNTPOINT is a directory, where the export appears as the file "nbd" or FILENAME,
      or an existing regular file, which the export then covers.

      [ CMD ARG... ] (or --socket-activation CMD ARG...) runs a server that takes its
      listening socket the way systemd passes it, as nbdkit and qemu-nbd do; --command runs
      one that speaks NBD on its standard input and output, such as nbdkit -s.

      EXAMPLES:
        nbdmount dir nbd://server.example/disk &      the file is dir/nbd
        nbdmount -r dir/disk.img nbd+unix:///?socket=/run/nbd.sock &
        nbdmount dir/ram [ nbdkit memory 1G ] &       a server for this mount only
        nbdmount dir/raw [ qemu-nbd -f qcow2 file.qcow2 ] &
        nbdmount --background --export disk dir --tcp ::1 10809
        fusermount3 -u dir                            flush and unmount
      """)

  @Option(
    name: [.customShort("C", allowingJoined: true), .long],
    help: ArgumentHelp("Connections to a server that allows several.", valueName: "N"))
  var connections = MountConfiguration.defaultConnections

  @Option(
    name: .customLong("export"), help: ArgumentHelp("Export to mount; a URI names its own.", valueName: "NAME"))
  var exportName: String?

  @Flag(
    name: [.customShort("r"), .customLong("readonly"), .customLong("read-only")],
    help: "Refuse writes. Implied by a read-only export.")
  var readOnly = false

  @Option(help: ArgumentHelp("Page cache: writeback (like a disk), writethrough or none.", valueName: "MODE"))
  var cache: MountConfiguration.CacheMode?

  @Option(help: ArgumentHelp("Read-ahead of the mount, for example 1M.", valueName: "SIZE"))
  var readAhead: ByteSize?

  @Option(help: ArgumentHelp("reactor: one thread for each connection; threads: libfuse's.", valueName: "ENGINE"))
  var engine = MountConfiguration.Engine.reactor

  @Option(
    name: .customLong("busy-poll-us"),
    help: ArgumentHelp("Poll this many microseconds before sleeping; 0 is off.", valueName: "N"))
  var busyPoll: Int?

  @Flag(help: "Return when the mount is ready, and serve it in the background.")
  var background = false

  @Option(
    name: [.customShort("P", allowingJoined: true), .customLong("pidfile"), .customLong("pid-file")],
    help: ArgumentHelp("Write the process number here once the mount is ready.", valueName: "PIDFILE"),
    completion: .file())
  var pidFile: String?

  @Option(
    name: .customShort("o", allowingJoined: true),
    help: ArgumentHelp("Mount options, such as allow_other,uid=1000.", valueName: "OPT,..."))
  var mountOptions: [String] = []

  @Flag(name: .shortAndLong, help: "Say on standard error what happens.")
  var verbose = false

  @Flag(name: .customShort("d"), help: "Print every FUSE request too; stays in the foreground.")
  var debug = false

  /// What other FUSE programs call it, and what mount(8) may pass.
  @Flag(name: .customShort("f"), help: .hidden)
  var foreground = false

  @Flag(name: .customShort("s"), help: "Take FUSE requests with a single thread.")
  var singleThread = false

  @Flag(help: "Explain the options of -o.")
  var fuseHelp = false

  @Flag(name: [.customShort("V"), .long], help: "Print the version.")
  var version = false

  @Argument(
    parsing: .captureForPassthrough,
    help: ArgumentHelp("Where to mount, and which server.", valueName: "MOUNTPOINT[/FILENAME] MODE"),
    completion: .file())
  var words: [String] = []

  /// The mount that was asked for.
  func makeConfiguration() throws(UsageError) -> MountConfiguration {
    var words = words[...]
    // "--" ends the options; it is needed only before a mountpoint that begins with a dash.
    if words.first == "--" {
      words.removeFirst()
    } else if let first = words.first, first.hasPrefix("-") {
      throw UsageError("unknown option \(first)")
    }
    guard let mountpoint = words.popFirst() else { throw UsageError("missing MOUNTPOINT and the server") }
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
    return MountConfiguration(
      server: server, exportName: exportName, mountpoint: mountpoint,
      connections: server.allowsOneConnectionOnly ? 1 : connections,
      isReadOnly: readOnly || fuse.isReadOnly,
      engine: engine, cache: cache ?? (fuse.directIO ? MountConfiguration.CacheMode.none : nil), fuse: fuse,
      debugsFuse: debug || fuse.debug, isSingleThreaded: singleThread, isVerbose: verbose || debug,
      pidFile: pidFile, runsInBackground: background && !debug && !foreground,
      busyPollMicroseconds: busyPoll, readAhead: readAhead?.bytes)
  }
}

extension MountConfiguration.Engine: ExpressibleByArgument {}
extension MountConfiguration.CacheMode: ExpressibleByArgument {}
