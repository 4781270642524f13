import Glibc
import NBDProtocol

/// Everything that one mount was asked to be, checked and typed.
struct MountConfiguration: Hashable, Sendable {
  /// Who waits for a reply: see the documentation's threading model.
  enum Engine: String, CaseIterable, Sendable {
    /// libfuse's worker threads; each waits for its own reply.
    case threads
    /// One epoll thread for each connection owns both ends.
    case reactor
  }

  /// nbdfuse's 4, or one for each processor where there are fewer: measured, more of them then only wake each other.
  static let defaultConnections = min(4, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))

  var server: ServerLocation
  /// `--export`: nil is the server's default export, or what the URI says.
  var exportName: String?
  /// MOUNTPOINT[/FILENAME] as given: ``Mountpoint`` looks at what is there.
  var mountpoint: String
  /// 1 to 256; 1 where the server's location allows only one.
  var connections: Int
  var isReadOnly: Bool
  var engine: Engine
  /// nil: writeback on a writable mount.
  var cache: CacheMode?
  var fuse: FuseOptions
  /// `-d`: libfuse prints every request.
  var debugsFuse: Bool
  /// `-s`: FUSE requests are taken by one thread.
  var isSingleThreaded: Bool
  var isVerbose: Bool
  var pidFile: String?
  var runsInBackground: Bool
  /// How long to poll before sleeping, in microseconds; 0 is off, nil lets the engine decide.
  var busyPollMicroseconds: Int?
  /// What is done when the server does not answer, or is gone.
  var patience = ServerPatience()
  /// Further URIs of the same export.
  var failover: [String] = []
  var tls = TLSOptions()
  /// The mount's read-ahead in bytes; nil is nbdmount's own choice.
  var readAhead: Int?
  /// `--mlock`.
  var locksMemory: Bool
  /// `--drop-privileges`: who serves the mount, a name or a number; nil for who makes it.
  var servingUser: String?
}

/// What the command line says about TLS, for every server that it names.
struct TLSOptions: Hashable, Sendable {
  /// Nil where it says nothing.
  var configuration: TLSConfiguration?
  /// `--tls-files-from-uri`.
  var usesFilesOfURI = false
}

/// How long the mount waits for its server.
struct ServerPatience: Hashable, Sendable {
  /// For the first connection.
  var opening = TimeSpan.seconds(0)
  /// For another connection when all are lost.
  var reconnecting = TimeSpan.seconds(120)
  /// For an answer, before the connection is given up.
  var answer = TimeSpan.forever
  /// For what a server was sent that was given up to have had its effect.
  var quiesce = TimeSpan.seconds(60)
  /// Bytes of written data that are kept until the server has made them durable.
  var writeLog = 64 << 20
}

/// A command line that makes no sense; one line for a person.
struct UsageError: Error, Hashable, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
