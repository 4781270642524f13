import Glibc
import SystemPackage

/// Tells a TCP peer that is gone from one that is slow.
///
/// A slow server may leave requests unread for any time: its kernel goes on acknowledging what comes, or that the window is
/// closed. A peer that is gone acknowledges nothing. So the kernel is asked every few seconds: gone is who owes an
/// acknowledgement all the time and gives no sign of life.
package struct PeerWatch {
  /// What the kernel knows about the connection at one moment (`TCP_INFO`).
  struct Sample {
    /// The peer owes an acknowledgement, of data or of a probe of its closed window.
    var owesReply: Bool
    /// Nanoseconds since anything came from it.
    var quiet: UInt64
  }

  /// Between two looks, in nanoseconds.
  private let interval: UInt64
  /// Of silence until the peer is taken for gone, in nanoseconds.
  private let patience: UInt64
  private var lastLook: UInt64 = 0
  /// Since when it has owed a reply in every look and given no sign of life.
  private var silentSince: UInt64?

  /// - Parameter milliseconds: of silence until the peer is taken for gone.
  package init(patience milliseconds: Int) {
    patience = UInt64(max(milliseconds, 1)) * 1_000_000
    interval = patience / 10
  }

  /// Milliseconds to sleep for at most while something is in flight.
  var sleep: Int32 { Int32(clamping: interval / 1_000_000) }

  /// Looks, where it is time to. Nanoseconds of silence where the peer is gone. `now`: of ``MonotonicClock``.
  mutating func look(at socket: Int32, now: UInt64) -> UInt64? {
    guard now - lastLook >= interval else { return nil }
    lastLook = now
    guard let information = try? Syscall.tcpInformation(socket) else { return nil }
    return silence(Sample(information), now)
  }

  /// The decision. A connection that was idle between two looks starts anew, because its silence meant nothing.
  mutating func silence(_ sample: Sample, _ now: UInt64) -> UInt64? {
    guard sample.owesReply else {
      silentSince = nil
      return nil
    }
    let lastSign = now - min(sample.quiet, now)
    guard let since = silentSince, lastSign <= since else {
      silentSince = now
      return nil
    }
    return now - since >= patience ? now - since : nil
  }
}

extension PeerWatch.Sample {
  init(_ information: tcp_info) {
    // A full receiver drops what comes, and says so each time: then it owes nothing until the next attempt, which may be a
    // minute away.
    let isDataUnanswered = information.tcpi_unacked > 0 && information.tcpi_last_ack_recv > information.tcpi_last_data_sent
    // Of the probes of a closed window one alone may be lost, or come too soon after another to be answered.
    owesReply = isDataUnanswered || information.tcpi_probes > 1
    // Data that acknowledges nothing new does not count as an acknowledgement, and is a sign of life all the same.
    quiet = UInt64(min(information.tcpi_last_ack_recv, information.tcpi_last_data_recv)) * 1_000_000
  }
}
