import CLinux
import Glibc
import NBDProtocol

/// What whoever starts us may have left odd.
enum Surroundings {
  /// Bytes of stack that a thread needs, reading the command line most of all.
  static let smallestStack: rlim_t = 512 << 10

  /// Makes them ordinary. At the very start, before anything is opened and while there is one thread.
  ///
  /// - Throws: where the limits leave no room to run in.
  static func settle() throws(NBDError) {
    StandardStreams.fillGaps()
    // Where it was ignored, the kernel would forget how our children end.
    signal(SIGCHLD, SIG_DFL)
    leaveCrashesToTheKernel()
    try ensureStack()
  }

  /// Swift's runtime catches a crash and describes it, for seconds where memory is short. All that time the mount's users
  /// hang, whom the end of the process sets free. Whoever wants the description sets SWIFT_BACKTRACE.
  private static func leaveCrashesToTheKernel() {
    guard getenv("SWIFT_BACKTRACE") == nil else { return }
    for crash in [SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] { signal(crash, SIG_DFL) }
  }

  /// `ulimit -s` bounds the first thread at once, the others by what it was when the process started, and our children, of
  /// which fusermount3 does not survive too little.
  private static func ensureStack() throws(NBDError) {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_STACK.rawValue), &limit) == 0, limit.rlim_cur < smallestStack else { return }
    limit.rlim_cur = smallestStack
    limit.rlim_max = max(limit.rlim_max, smallestStack)
    guard setrlimit(__rlimit_resource_t(RLIMIT_STACK.rawValue), &limit) == 0 else {
      throw .invalidArgument("the limit on the stack (ulimit -s) is too low: \(smallestStack >> 10) KiB are needed")
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, Int(smallestStack))
    pthread_setattr_default_np(&attributes)
    pthread_attr_destroy(&attributes)
  }
}
