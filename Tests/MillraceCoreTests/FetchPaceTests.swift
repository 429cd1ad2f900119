/// What windows are fetched with: as much as the line carries, and what stands still is the process and not the line.

import MillraceBase
import Testing

@testable import MillraceCore

@Suite struct FetchPaceTests {
    /// A pace that has left its start: one request waited long.
    private func settled(_ now: inout Instant) -> FetchPace {
        var pace = FetchPace(shredsMax: 512)
        pace.measured(delay: .milliseconds(40), now: now)
        for _ in 0..<200 { pace.answered() }
        now = now + .milliseconds(200)
        pace.measured(delay: .milliseconds(60), now: now)
        return pace
    }

    @Test func `answers that wait make it smaller, and quick ones larger`() {
        var now = Instant.zero + .seconds(1)
        var pace = settled(&now)
        let before = pace.shreds
        now = now + .milliseconds(200)
        pace.measured(delay: .milliseconds(120), now: now)
        #expect(pace.shreds < before * 2 / 3)
        let small = pace.shreds
        now = now + .milliseconds(200)
        pace.measured(delay: .milliseconds(42), now: now)
        #expect(pace.shreds > small)
    }

    @Test
    func
        `a line that carried the stream is taken to carry it again, and never less than was asked for before`()
    {
        var pace = FetchPace(shredsMax: 512)
        // 1.1 MB/s over 112 ms are 100 datagrams of 1,232 bytes.
        pace.expect(bytesPerSecond: 1_100_000, roundTrip: .milliseconds(112))
        #expect(pace.shreds == 100)
        pace.expect(bytesPerSecond: 100_000, roundTrip: .milliseconds(112))
        #expect(pace.shreds == 100)
        pace.expect(bytesPerSecond: .max, roundTrip: .seconds(9))
        #expect(pace.shreds == 512)
    }

    @Test func `what waited in the socket while a window was applied is not measured`() {
        var now = Instant.zero + .seconds(1)
        var pace = settled(&now)
        let before = pace.shreds
        now = now + .milliseconds(200)
        pace.paused(now: now)
        now = now + .milliseconds(30)
        pace.resumed(now: now)
        pace.measured(delay: .milliseconds(90), now: now + .milliseconds(1))
        #expect(pace.shreds == before)
        // And the next time that much more may stand in the queue, so that the line goes on.
        now = now + .milliseconds(200)
        pace.measured(delay: .milliseconds(90), now: now)
        #expect(pace.shreds >= before)
    }

    @Test func `before a large window so much more is asked for as the last one took`() {
        var now = Instant.zero + .seconds(1)
        var pace = settled(&now)
        let usual = pace.shreds
        pace.foresee(heights: 500)
        // 400 µs a height are assumed, and the size is for a way of 40 ms and a queue of 20.
        #expect((usual * 40 / 10...usual * 45 / 10).contains(pace.shreds))
        pace.paused(heights: 500, now: now)
        now = now + .milliseconds(100)
        pace.resumed(now: now)
        #expect(pace.shreds == usual)
        #expect(pace.perHeight.values == 200)
        pace.foresee(heights: 500)
        #expect((usual * 25 / 10...usual * 28 / 10).contains(pace.shreds))
        // However long it takes, no more than three times the most.
        pace.paused(heights: 1_000, now: now)
        pace.resumed(now: now + .seconds(900))
        pace.foresee(heights: .max)
        #expect(pace.shreds <= usual + 3 * 512)
    }

    @Test func `what was asked for on account of a pause waits longer and is not measured`() {
        var now = Instant.zero + .seconds(1)
        var pace = settled(&now)
        let before = pace.shreds
        now = now + .milliseconds(200)
        pace.foresee(heights: 1_000)
        pace.paused(heights: 1_000, now: now)
        now = now + .milliseconds(400)
        pace.resumed(now: now)
        now = now + .milliseconds(50)
        pace.measured(delay: .milliseconds(430), now: now)
        #expect(pace.shreds == before)
        now = now + .milliseconds(200)
        pace.measured(delay: .milliseconds(180), now: now)
        #expect(pace.shreds < before)
    }

    @Test func `tenths of a second tell what a height takes in parts`() {
        var pace = FetchPace(shredsMax: 512)
        let now = Instant.zero + .seconds(1)
        pace.paused(heights: 10, now: now)
        pace.resumed(now: now + .milliseconds(28))
        #expect(pace.perHeight == (FetchPace.microsecondsPerHeight.values, 2_800))
    }

    @Test func `no pause makes the queue longer than forty milliseconds more`() {
        var now = Instant.zero + .seconds(1)
        var pace = settled(&now)
        let before = pace.shreds
        pace.paused(now: now)
        pace.resumed(now: now + .seconds(9))
        now = now + .seconds(10)
        pace.measured(delay: .milliseconds(200), now: now)
        #expect(pace.shreds <= before * 100 / 200 + 2)
    }
}
