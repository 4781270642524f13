/// A second side of a reactor: requests that arrive on a descriptor of their own, such as a clone of `/dev/fuse`.
///
/// All methods are called on the reactor's thread and must not block.
package protocol RequestSource: AnyObject, SendableMetatype {
  /// Readable when requests wait; nil where there is no such descriptor.
  var descriptor: Int32? { get }

  /// Reads the requests that have come and submits their operations. Returns how many it read. Submitting may
  /// fail for lack of room: then it stops reading and goes on in the next turn.
  func readRequests(into machine: inout TransmissionMachine) -> Int

  /// An operation of this source has completed; to be answered at once, since the data is valid during the call only.
  func complete(_ completion: Completion, of machine: inout TransmissionMachine)

  /// A read needs a place for its data; it must be there until the operation's completion.
  func buffer(for token: Token, length: UInt64) -> UnsafeMutableRawPointer

  /// There is no connection: answers what waits on the descriptor with an error. Returns how many it read.
  func refuseRequests() -> Int

  /// The descriptor has reached its end: no more requests will come.
  var isFinished: Bool { get }
}

/// No second side: a reactor that serves other threads only.
package final class NoSource: RequestSource {
  package init() {}
  package var descriptor: Int32? { nil }
  package func readRequests(into machine: inout TransmissionMachine) -> Int { 0 }
  package func complete(_ completion: Completion, of machine: inout TransmissionMachine) {}
  package func refuseRequests() -> Int { 0 }
  package var isFinished: Bool { false }

  package func buffer(for token: Token, length: UInt64) -> UnsafeMutableRawPointer {
    preconditionFailure("a reactor without a source has no operations of one")
  }
}
