/// A second side of a reactor: requests that arrive on a descriptor of their own, such as a clone of `/dev/fuse`.
///
/// All methods are called on the reactor's thread and must not block. They are called through a class existential: one
/// indirect call for a batch of requests and one for a completion, no box and no allocation.
///
/// Docs/memory.md has a table of who owns the memory that goes to and fro here, and until when.
package protocol RequestSource: AnyObject {
  /// Readable when requests wait.
  var descriptor: Int32 { get }

  /// Reads requests that have come and submits their operations to `loop`.
  func readRequests(_ loop: inout ReactorLoop) -> RequestReading

  /// An operation of this source has completed; to be answered at once, since the completion's data is valid during the call
  /// only. `extents`: of a block status operation, by context.
  func complete(_ completion: Completion, extents: [[Extent]], _ loop: inout ReactorLoop)

  /// A read needs a place for its data; it must be there until the operation's completion.
  func buffer(for token: Token, length: UInt64) -> UnsafeMutableRawPointer

  /// Whether somebody waits for the operation, so that it is worth sending again.
  func isWanted(_ token: Token) -> Bool

  /// Called about every ``watchMilliseconds`` while ``hasRequests``, to look after requests that take long.
  func watch(_ loop: inout ReactorLoop)

  /// Requests were read and are not answered.
  var hasRequests: Bool { get }
}

/// Between two calls of ``RequestSource/watch(_:)``.
package let watchMilliseconds: Int32 = 300

/// What became of a look at a source's descriptor.
package enum RequestReading {
  /// There was nothing more to read.
  case drained(Int)
  /// There may be more.
  case more(Int)
  /// There is more, and no room for it before something completes.
  case blocked(Int)
  /// There was nothing more to read, and some of what was read waits for room: to be called again in every turn.
  case waiting(Int)
  /// The end: nothing will ever come again.
  case finished
}

/// What became of an operation that was submitted.
package enum Submission {
  /// It will be completed.
  case accepted
  /// Not now: try again in the next turn.
  case full
  /// There is no connection.
  case lost
}
