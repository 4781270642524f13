/// The handshake phase as a state machine: bytes from the server in, bytes for the server out, and at the end what
/// was negotiated. No I/O, no clock, no threads.
///
/// # Theory of operation
///
/// The server speaks first, and from then on the two take turns: the client may not send an option before the
/// final reply to the one before it. So the machine is always in exactly one ``State``, each of which waits for
/// one **message** of a known size. ``receive(_:)`` collects bytes until the message is whole, hands it to the
/// state, and the state says what comes next. However the stream was cut, the same messages result.
///
/// ```
///                 magic
///                   |
///              secondMagic ---- oldstyle ----> oldstyleExport -------------------+
///                   | newstyle                                                  |
///             handshakeFlags ---- not fixed -> exportNameReply ------------------+
///                   | fixed                         ^                           |
///                   v            GO: ERR_UNSUP      |                           v
///   +-> optionReplyHeader --------------------------+                       finished
///   |               |                                                           ^
///   +-- optionReplyPayload ---- final reply of INFO, GO, LIST, LIST_META_CONTEXT -+
/// ```
///
/// From every state, bytes that break the protocol lead to `failed`, which keeps its error.
///
/// Which option follows which is in HandshakeSteps.swift. What an option has been told so far lives in its
/// ``OptionInProgress``, and is gone with it; what the options settled for good is in ``Terms``.
///
/// Leaving: the protocol wants `NBD_OPT_ABORT` (or, once the transmission phase has begun, `NBD_CMD_DISC`) from a
/// client that gives up, except where the server broke the rules. The machine queues it before it finishes or
/// throws; so send ``takeOutput()`` also after an error, then close without waiting.
///
/// `NBD_OPT_STARTTLS` comes before every other option. Its acknowledgement leads to `tlsAwaited`, in which the driver, who sees
/// ``wantsTLS``, does what TLS takes, and then calls ``tlsEstablished()``. A byte that has come after the acknowledgement by then
/// was put there by somebody, and ends the negotiation.
public struct HandshakeMachine: Sendable {
  /// How a negotiation ended well.
  public enum Outcome: Hashable, Sendable {
    /// The transmission phase has begun.
    case transmission(Export)
    /// What the server tells about the export; the machine has said goodbye.
    case information(Export)
    /// Every export, in the server's order; the machine has said goodbye.
    case exports([ExportListing])
    /// The contexts that match, ids zero: they mean nothing here. The machine has said goodbye.
    case contexts([MetadataContext])
  }

  /// What is awaited, with whatever is known only while it is.
  enum State: Sendable {
    case magic
    case secondMagic
    case oldstyleExport
    case handshakeFlags
    /// `NBD_OPT_EXPORT_NAME` is answered without a header: size, flags, and `reserved` zeros.
    case exportNameReply(reserved: Int)
    case optionReplyHeader(OptionInProgress)
    case optionReplyPayload(OptionInProgress, OptionReplyHeader)
    /// `NBD_OPT_STARTTLS` is acknowledged: the next bytes, both ways, are those of TLS.
    case tlsAwaited
    case finished(Outcome)
    case failed(NBDError)
    /// Taken out to be changed. Never seen between two calls.
    case inHand

    /// Size in bytes of the message that is awaited; nil when none is.
    var messageSize: Int? {
      switch self {
      case .magic, .secondMagic: GreetingMagic.size
      case .oldstyleExport: OldstyleExport.encodedSize
      case .handshakeFlags: HandshakeFlags.size
      case .exportNameReply(let reserved): ExportNameReply.encodedSize + reserved
      case .optionReplyHeader: OptionReplyHeader.size
      case .optionReplyPayload(_, let header): header.payloadSize
      case .tlsAwaited, .finished, .failed, .inHand: nil
      }
    }
  }

  /// What the negotiation has settled so far.
  struct Terms: Sendable {
    var handshake = Export.Handshake.newstyle
    var flags: HandshakeFlags = []
    var replies = ReplyForm.simple
    var contexts: [MetadataContext] = []
    var isEncrypted = false
  }

  /// One line for each optional step that the server refused and each oddity that was tolerated, for
  /// `--verbose`. Printable as it is, also where it quotes the server.
  public internal(set) var notes: [String] = []

  let request: HandshakeRequest
  var state = State.magic
  var terms = Terms()
  private var message: [UInt8] = []
  private var output: [UInt8] = []
  private var leftover: [UInt8] = []

  /// - Throws: ``NBDError/invalidArgument(_:)`` for an export name or a context that may not be sent: longer than
  ///   ``Limits/string`` bytes, with a NUL, or a context without a namespace.
  public init(_ request: HandshakeRequest) throws(NBDError) {
    self.request = try request.checked()
  }

  /// Set once the negotiation has ended well.
  public var outcome: Outcome? {
    if case .finished(let outcome) = state { outcome } else { nil }
  }

  /// The driver is to establish TLS now, before another byte is read as the protocol's, and to say so: ``tlsEstablished()``.
  public var wantsTLS: Bool { if case .tlsAwaited = state { true } else { false } }

  /// Takes what the server has sent, cut anywhere. Holds at most one message of it, which ``Limits`` bounds.
  ///
  /// - Throws: how the negotiation failed. The connection is of no use then, and every later call throws the same.
  public mutating func receive(_ bytes: RawSpan) throws(NBDError) {
    if case .failed(let error) = state { throw error }
    var rest = bytes
    while let size = state.messageSize {
      let missing = rest.extracting(first: size - message.count)
      message += missing.copyBytes()
      rest = rest.extracting(droppingFirst: missing.byteCount)
      guard message.count == size else { return }

      let whole = message
      message = []
      do {
        try advance(with: whole.span.bytes)
      } catch {
        state = .failed(error)
        throw error
      }
    }
    if wantsTLS, !rest.isEmpty {
      let error = NBDError.broken(
        "bytes in the clear after \(OptionType.startTLS) was acknowledged", expected: "none", found: "some")
      state = .failed(error)
      throw error
    }
    // After a goodbye there is nobody left to read what else the server says.
    if case .finished(.transmission) = state { leftover += rest.copyBytes() }
  }

  /// The server closed the connection: returns what that means here, and fails the machine with it, unless it had
  /// ended before.
  public mutating func receivedEndOfStream() -> NBDError {
    if case .failed(let error) = state { return error }
    if case .finished = state { return .disconnected("the server closed the connection after the handshake") }
    let error: NBDError =
      if case .exportNameReply = state, message.isEmpty {
        // The option has no other way to say no (*NBD_OPT_EXPORT_NAME*).
        .refused(
          option: .exportName, reply: .unknownExport,
          message: "it closed the connection, which is this option's only way to refuse an export")
      } else {
        .disconnected("the server closed the connection during the handshake, \(progress)")
      }
    state = .failed(error)
    return error
  }

  /// What the machine waits for, to complete a sentence such as "timed out waiting for ...".
  public var awaited: String {
    switch state {
    case .magic, .secondMagic, .oldstyleExport, .handshakeFlags: "the server's greeting"
    case .exportNameReply: "the reply to \(OptionType.exportName)"
    case .optionReplyHeader(let option), .optionReplyPayload(let option, _): "the reply to \(option.type)"
    case .tlsAwaited: "TLS"
    case .finished, .failed, .inHand: "nothing"
    }
  }

  /// Takes the bytes to send now, in order. Also after an error: then they are the goodbye.
  public mutating func takeOutput() -> [UInt8] {
    defer { output = [] }
    return output
  }

  /// Takes the bytes that came after the end of the handshake: they belong to the transmission phase.
  public mutating func takeLeftover() -> [UInt8] {
    defer { leftover = [] }
    return leftover
  }

  mutating func send(_ bytes: [UInt8]) { output += bytes }

  /// An option with its data, whose size ``HandshakeRequest/checked()`` has bounded far below 32 bits.
  mutating func sendOption(_ option: OptionType, _ data: [UInt8] = []) {
    send(OptionHeader(option, length: UInt32(truncatingIfNeeded: data.count)).encoded + data)
  }

  mutating func note(_ line: String) { notes.append(printable(line)) }

  /// Moves the state out, so that what it holds is changed in place and not copied for each reply.
  mutating func takeState() -> State {
    var taken = State.inHand
    swap(&taken, &state)
    return taken
  }

  /// How far the present message has come, for the error of an early end.
  private var progress: String {
    switch state {
    case .magic: "after \(message.count) bytes of its greeting"
    case .secondMagic: "after \(GreetingMagic.size + message.count) bytes of its greeting"
    case .oldstyleExport, .handshakeFlags: "after \(2 * GreetingMagic.size + message.count) bytes of its greeting"
    case .exportNameReply(let reserved):
      "after \(message.count) of the \(ExportNameReply.encodedSize + reserved) bytes of its reply to \(OptionType.exportName)"
    case .optionReplyHeader(let option) where message.isEmpty && option.replies == 0:
      "before it answered \(option.type)"
    case .optionReplyHeader(let option), .optionReplyPayload(let option, _):
      "in the middle of its reply to \(option.type)"
    case .tlsAwaited: "after it had agreed to TLS"
    case .finished, .failed, .inHand: "after its end"
    }
  }
}
