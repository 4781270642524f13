import Dispatch
import Synchronization

/// An event that happens once and carries a value. Tests await it with a deadline instead of polling.
public final class OneShot<Value: Sendable>: Sendable {
  private struct State {
    var value: Value?
    var observers: [@Sendable (Value) -> Void] = []
  }

  private let state = Mutex(State())

  public init() {}

  /// The value, where the event has happened.
  public var value: Value? { state.withLock { $0.value } }

  /// Makes the event happen. Only the first call counts; true says that it was this one.
  @discardableResult
  public func fire(_ value: Value) -> Bool {
    let observers: [@Sendable (Value) -> Void]? = state.withLock { state in
      guard state.value == nil else { return nil }
      state.value = value
      defer { state.observers = [] }
      return state.observers
    }
    guard let observers else { return false }
    for observer in observers { observer(value) }
    return true
  }

  /// Calls `observer` on the thread that fires the event, or at once where it has happened.
  public func observe(_ observer: @escaping @Sendable (Value) -> Void) {
    let happened: Value? = state.withLock { state in
      if state.value == nil { state.observers.append(observer) }
      return state.value
    }
    if let happened { observer(happened) }
  }

  /// Waits for the event; nil when `deadline` passes first. Blocks no thread.
  public func value(within deadline: Duration) async -> Value? {
    let first = OneShot<Value?>()
    observe { first.fire($0) }
    let (seconds, attoseconds) = deadline.components
    let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
    DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(nanoseconds)) { first.fire(nil) }
    return await withCheckedContinuation { continuation in
      first.observe { continuation.resume(returning: $0) }
    }
  }
}
