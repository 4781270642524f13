import Glibc
import SystemPackage

/// A thread of our own, for work that blocks or that must not be shared with Swift's cooperative pool.
package enum POSIXThread {
  /// Keeps the closure alive until the thread has taken it.
  private final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// `pthread_create(3)`. Whoever starts it joins or detaches it. `what` names it in the error.
  package static func start(_ what: String, _ body: @escaping @Sendable () -> Void) throws(NBDError) -> pthread_t {
    let start = Unmanaged.passRetained(Start(body))
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body() }
        return nil
      }, start.toOpaque())
    guard result == 0 else {
      start.release()
      throw .system(Errno(rawValue: result), doing: "cannot start the thread of \(what)")
    }
    return thread
  }

  /// The same, for a thread that nobody waits for.
  package static func startDetached(_ what: String, _ body: @escaping @Sendable () -> Void) throws(NBDError) {
    pthread_detach(try start(what, body))
  }
}
