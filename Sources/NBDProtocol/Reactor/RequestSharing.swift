/// When a reactor's source is read, and by which reactors of the export.
///
/// While little is in flight, one reactor reads all requests, the first: another one would be woken, or look for work, in its way,
/// and find nothing. Once the first is *crowded* it calls the others, and lets them go when that has passed. The kernel
/// then gives each request to one that is free.
struct RequestSharing {
  /// Bytes of payload in flight from which one reactor is crowded: copying them is work for more than one processor.
  static var crowdedPayload: Int { 128 * 1024 }
  /// Nanoseconds without a crowd after which the others are let go.
  private static var calm: UInt64 { 2_000_000 }

  private let reactor: Reactor
  private let peers: [Reactor]
  /// It reads requests whatever comes.
  let isFirst: Bool
  private let leadsOthers: Bool
  /// Since when no reactor has been crowded; 0 before anybody looked.
  private var calmSince: UInt64 = 0
  /// The source has more requests than there is room for.
  var isBlocked = false
  private var watchesSource = true

  init(_ reactor: Reactor, among peers: [Reactor], hasSource: Bool) {
    self.reactor = reactor
    self.peers = peers
    isFirst = peers.first === reactor
    leadsOthers = isFirst && peers.count > 1 && hasSource
  }

  /// After each turn: says how crowded it is here; the first reactor calls the others, or lets them go.
  @inline(__always)
  mutating func update(isCrowded: Bool) {
    if isCrowded != reactor.isCrowded.load(ordering: .relaxed) { reactor.isCrowded.store(isCrowded, ordering: .relaxed) }
    guard leadsOthers else { return }
    if isCrowded != reactor.sharesSource.load(ordering: .relaxed) { change(isCrowded) } else { calmSince = 0 }
  }

  private mutating func change(_ isCrowded: Bool) {
    if isCrowded {
      reactor.sharesSource.store(true, ordering: .sequentiallyConsistent)
      for peer in peers where peer !== reactor { peer.mailbox.wakeup.signal() }
    } else if peers.contains(where: { $0.isCrowded.load(ordering: .relaxed) }) {
      calmSince = 0
    } else {
      let now = reactor.clock.now
      if calmSince == 0 { calmSince = now }
      guard now - calmSince >= Self.calm else { return }
      // The others see it when they next go to sleep.
      reactor.sharesSource.store(false, ordering: .relaxed)
      calmSince = 0
    }
  }

  /// Whether epoll should say that there are requests. While there is no room for more, it would
  /// say so again and again: any completion makes room, and ``ReactorLoop/isSourceReady`` is still set then.
  private var wantsSource: Bool {
    !isBlocked && (isFirst || peers[0].sharesSource.load(ordering: .sequentiallyConsistent))
  }

  /// Before sleeping: has epoll watch the source, or not.
  mutating func watch(_ source: any RequestSource) throws(NBDError) {
    guard wantsSource != watchesSource else { return }
    watchesSource.toggle()
    if watchesSource {
      try reactor.epoll.add(source.descriptor, as: .source, [.readable, .exclusive])
    } else {
      reactor.epoll.remove(source.descriptor)
    }
  }
}
