import NBDProtocol

/// `--engine reactor`: what the sources of one mount share.
final class ReactorEngine: Sendable {
  /// Bytes that the data in flight may take over all reactors, of each kind of ``RequestBuffers``.
  static let budget = 16 << 20

  /// libfuse is to see, and print, every request (`-d`).
  let isDebugging: Bool
  private let reactors: Int
  private let end: EndOfService

  /// - Parameters:
  ///   - reactors: how many there will be.
  ///   - end: told when the mount is gone.
  init(reactors: Int, isDebugging: Bool, _ end: EndOfService) {
    self.isDebugging = isDebugging
    self.end = end
    self.reactors = reactors
  }

  /// The source of one reactor. To be called on that reactor's thread.
  func makeSource(
    _ session: FuseSession, _ mount: Mount, _ device: consuming OwnedDescriptor
  ) -> FuseSource {
    let source = FuseSource(
      self, session, mount, device, budget: Self.budget / reactors)
    source.bindToThread()
    return source
  }

  /// The mount is gone.
  func ended() { end.signal(0) }
}
