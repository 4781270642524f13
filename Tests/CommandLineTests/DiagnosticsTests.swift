import Testing

@testable import NBDMount

@Suite struct DiagnosticsTests {
  @Test func warningsAreLimitedAndTheRestIsCounted() {
    var limit = RateLimit()
    let now = ContinuousClock.now
    for _ in 0..<RateLimit.most { #expect(limit.admit(at: now) == 0) }
    for _ in 0..<7 { #expect(limit.admit(at: now + .seconds(1)) == nil) }
    #expect(limit.admit(at: now + RateLimit.period) == 7)
    #expect(limit.admit(at: now + RateLimit.period) == 0)
  }

  @Test func theServersNamesAreListedUpToABound() {
    #expect(OpeningReport.list([]) == "")
    #expect(OpeningReport.list(["", "a"]) == "; it lists \"\", \"a\"")
    #expect(OpeningReport.list((1...10).map { "\($0)" }).hasSuffix("\"8\" and 2 more"))
  }
}
