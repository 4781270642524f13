import Synchronization

/// A connection that has entered the transmission phase, until a reactor takes it. One that nobody takes disconnects softly
/// (*Terminating the transmission phase*).
package final class NegotiatedConnection: Sendable {
  package let export: Export
  /// What the server refused, one printable line for each.
  package let notes: [String]
  /// Bytes of the transmission phase that came with the last reply of the negotiation.
  let leftover: [UInt8]
  private let channel: Mutex<Channel?>

  package init(_ channel: consuming Channel, _ export: Export, leftover: [UInt8], notes: [String]) {
    self.export = export
    self.leftover = leftover
    self.notes = notes
    self.channel = Mutex(channel)
  }

  /// Takes `other` over, with its metadata contexts in the order in which `old` has them, by name: whoever asks for extents knows
  /// them by their places. Numbers of contexts are good on their own connection only. Those that `old` has not are left out.
  package init(taking other: NegotiatedConnection, contextsAsIn old: Export) {
    var export = other.export
    export.contexts = old.contexts.compactMap { other.export.context(named: $0.name) }
    self.export = export
    leftover = other.leftover
    notes = other.notes
    channel = Mutex(other.takeChannel())
  }

  deinit {
    guard let channel = takeChannel() else { return }
    // A courtesy: nobody is left to tell of an error, or to wait.
    _ = RequestHeader.softDisconnect.encoded(extended: export.replies == .extended).withUnsafeBytes { channel.send($0) }
    channel.endOutput()
  }

  /// The channel, for the one that drives it from here on; nil the second time.
  func takeChannel() -> Channel? {
    channel.withLock { channel in
      let taken = channel.take()
      return taken
    }
  }
}
