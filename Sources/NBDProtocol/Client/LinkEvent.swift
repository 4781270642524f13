/// What happens to the connections of an export.
package enum LinkEvent: Hashable, Sendable {
  /// `isWaiting`: requests wait for another connection, where there is none.
  case lost(NBDError, alive: Int, of: Int, isWaiting: Bool)
  /// `after`: since the first of them was lost; `way`: by number; `resent`: operations that had been answered, and were sent again.
  case connected(alive: Int, of: Int, after: Duration, way: Int, resent: Int)
  case attemptFailed(NBDError)
  /// There will be no connection any more.
  case failed(NBDError, after: Duration)
}
