/// How long the steps of a mount's life may take, apart from those of a connection, which the library bounds.
///
/// The end of a mount is bounded by *silence*: while bytes move between us and the server, writing back and the last flush go
/// on, however long that takes. With a server that hangs, the end after a signal takes at most
///
///     silence 10 s, unmount 2 s, lastWord 2 s, and 3.5 s for a server that was started for the mount: 17.5 s
///
/// and where nothing is left to be written or flushed, or when nobody is to be waited for (a second signal), the unmount alone.
enum Deadlines {
  /// Nothing has come from the server, or went to it, for so long: it hangs, and the end does not wait for it any more.
  static let silence = Duration.seconds(10)
  /// For the last flush, where the silence was spent already by writing back.
  static let lastWord = Duration.seconds(2)
  /// For each attempt to detach the mount, which asks the kernel and not the server.
  static let unmount = Duration.seconds(2)
  /// After an unmount that has succeeded, until the kernel ends the mount. It does so at once, unless somebody else still
  /// has it: another mount namespace, or a program, where it was detached lazily before.
  static let kernelEnd = Duration.seconds(2)
  /// For disconnecting softly, the reactors' own limit being 5 s.
  static let disconnect = Duration.seconds(6)
  /// A second SIGINT or SIGTERM before that belongs to the first: `timeout` signals a process and then its group.
  static let secondSignal = Duration.seconds(1)
  /// For a server that was started for the mount to go, after a second signal.
  static let impatientShutdown = Duration.milliseconds(500)
  /// For truncating the mounted file to its own size, which asks nobody but us.
  static let truncate = Duration.seconds(30)
  /// For the process that keeps root (``PrivilegedMonitor``) to start, and to write or remove the pid file.
  static let monitorStart = Duration.seconds(30)
  static let pidFile = Duration.seconds(2)
  /// Looking for holes before the mount is declared ready.
  static let holeScan = Duration.milliseconds(250)
  /// Between two words to a service manager that the end is still under way, and what they ask for: time for the rest of it.
  static let report = Duration.seconds(4)
  static let prolongation = Duration.seconds(20)
  /// Between two looks at the mount, where nothing calls for one.
  static let look = Duration.seconds(1)
}
