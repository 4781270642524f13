import NBDProtocol
import Synchronization

/// `--engine reactor`: what the sources of one mount share.
final class ReactorEngine: Sendable {
  /// Bytes of data that reads and writes may have in flight, over all reactors.
  static let budget = 32 << 20

  /// libfuse is to see, and print, every request (`-d`).
  let isDebugging: Bool
  private let inboxes: [InterruptInbox]
  private let end: EndOfService

  /// - Parameters:
  ///   - reactors: how many there will be.
  ///   - end: told when the mount is gone.
  init(reactors: Int, isDebugging: Bool, _ end: EndOfService) {
    self.isDebugging = isDebugging
    self.end = end
    inboxes = (0..<reactors).map { _ in InterruptInbox() }
  }

  /// The source of one reactor. To be called on that reactor's thread.
  func makeSource(
    _ index: Int, _ session: FuseSession, _ mount: Mount, _ device: consuming OwnedDescriptor
  ) -> FuseSource {
    let source = FuseSource(
      self, session, mount, device, inboxes[index], budget: Self.budget / inboxes.count)
    source.bindToThread()
    return source
  }

  /// The kernel says that the caller of a request got a signal. It says so on any of the devices, and whose request it is
  /// only its own source knows.
  func interrupted(_ unique: UInt64) {
    for inbox in inboxes { inbox.put(unique) }
  }

  /// The mount is gone.
  func ended() { end.signal(0) }

  /// Tells the inboxes whom to wake.
  func connect(_ connections: ConnectionSet) {
    for (inbox, reactor) in zip(inboxes, connections.reactors) { inbox.mailbox.withLock { $0 = reactor.mailbox } }
  }
}

/// Where a source learns of interrupted requests.
final class InterruptInbox: Sendable {
  private let uniques = Mutex<[UInt64]>([])
  private let isFilled = Atomic<Bool>(false)
  let mailbox = Mutex<Mailbox?>(nil)

  var hasMessages: Bool { isFilled.load(ordering: .relaxed) }

  func put(_ unique: UInt64) {
    uniques.withLock { $0.append(unique) }
    isFilled.store(true, ordering: .releasing)
    mailbox.withLock { $0 }?.wakeForMessage()
  }

  func takeAll() -> [UInt64] {
    guard isFilled.exchange(false, ordering: .acquiring) else { return [] }
    return uniques.withLock { uniques in
      defer { uniques = [] }
      return uniques
    }
  }
}
