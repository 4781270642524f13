import Glibc
import NBDProtocol

/// Requests whose callers are being killed.
extension FuseSource {
  var hasRequests: Bool { slots.count > 0 }

  /// A flush goes on for others, whoever has asked for it.
  func isWanted(_ token: Token) -> Bool {
    guard let slot = slots.pointer(token)?.pointee else { return false }
    if case .sync = slot.request.kind { return true }
    return !slot.isAnswered
  }

  /// Answers the requests of callers that are being killed: see ``CallerWatch`` for why only those.
  func watch(_ loop: inout ReactorLoop) {
    watches &+= 1
    noticeStandstill()
    look.begin()
    for token in slots.tokens(where: { !$0.isAnswered && watches &- $0.born >= 2 && look.isBeingKilled($0.process) }) {
      leave(token, &loop)
    }
  }

  /// The caller of a request is being killed. It is told so at once; what was sent goes on, and counts as it really ends. So does
  /// a flush in any case: it covers what others have written too.
  private func leave(_ token: Token, _ loop: inout ReactorLoop) {
    guard let slot = slots.pointer(token) else { return }
    switch slot.pointee.request.kind {
    case .sync: break
    case _ where forget(token): return end(token, .error(EINTR), &loop)
    default:
      switch loop.drop(token) {
      case .unsent: return end(token, .error(EINTR), &loop)
      case .inDoubt: return proceed(token, .connectionLost, &loop)
      case nil: break
      }
    }
    // Before anybody learns of it, who could write the same bytes next.
    if let range = slot.pointee.request.changes { slot.pointee.hold = loop.gate.hold(range) }
    if var buffer = slot.pointee.buffer {
      buffers.disown(&buffer)
      slot.pointee.buffer = buffer
    }
    buffers.unreserve(slot.pointee.reserved)
    slot.pointee.reserved = 0
    slot.pointee.isAnswered = true
    reply(slot.pointee, .error(EINTR))
  }
}
