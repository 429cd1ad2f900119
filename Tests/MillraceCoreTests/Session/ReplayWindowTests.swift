import MillraceBase
import Testing

@testable import MillraceCore

@Suite struct `The replay window` {
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `accepts what a set of all counters would, within its size`(_ seed: UInt64) {
        var random = Seed(seed).generator("window")
        var bits = [UInt64](repeating: 0, count: ReplayWindow.words)
        var window = ReplayWindow()
        var seen: Set<UInt64> = []
        var next: UInt64 = 0
        for _ in 0..<5_000 {
            // Mostly near the front, sometimes a leap, sometimes far behind.
            let counter: UInt64
            switch random.below(20) {
            case 0: counter = next + random.below(40_000)
            case 1...3: counter = next > 17_000 ? next - random.below(17_000) - 1 : random.below(next + 1)
            default: counter = next + random.below(6) - min(next, 3)
            }
            let model = !seen.contains(counter) && (counter >= next || next - counter <= ReplayWindow.size)
            let isNew = bits.withUnsafeBufferPointer { window.isNew(counter, bits: $0.baseAddress!) }
            #expect(isNew == model, "seed \(seed), counter \(counter), next \(next)")
            guard isNew else { continue }
            let isGreatest = bits.withUnsafeMutableBufferPointer {
                window.mark(counter, bits: $0.baseAddress!)
            }
            #expect(isGreatest == (counter >= next))
            seen.insert(counter)
            next = max(next, counter + 1)
            #expect(window.next == next)
        }
    }

    @Test func `is at least 8,192 wide`() { #expect(ReplayWindow.size >= 8_192) }

    @Test(
        arguments: [
            (0, 0, 0), (0, 5, 5), (0, 0xFFFF_FFFF, 0xFFFF_FFFF), (100, 99, 99),
            (0x1_0000_0000, 0xFFFF_FFFF, 0xFFFF_FFFF),
            (0x1_0000_0000, 0, 0x1_0000_0000), (0xFFFF_FFF0, 3, 0x1_0000_0003),
            (0x2_8000_0000, 0x8000_0001, 0x2_8000_0001),
            (0x2_0000_0010, 0xFFFF_FFF0, 0x1_FFFF_FFF0), (0x1_8000_0001, 0, 0x2_0000_0000),
        ] as [(UInt64, UInt32, UInt64)])
    func `gives a counter the high half that lies nearest`(_ next: UInt64, _ low: UInt32, _ expected: UInt64)
    {
        var bits = [UInt64](repeating: 0, count: ReplayWindow.words)
        var window = ReplayWindow()
        if next > 0 {
            _ = bits.withUnsafeMutableBufferPointer { window.mark(next - 1, bits: $0.baseAddress!) }
        }
        #expect(window.counter(fromLow: low) == expected)
    }

    @Test func `refuses counters that no key reaches`() {
        let bits = [UInt64](repeating: 0, count: ReplayWindow.words)
        for counter in [ReplayWindow.counterLimit, .max] {
            #expect(!bits.withUnsafeBufferPointer { ReplayWindow().isNew(counter, bits: $0.baseAddress!) })
        }
    }
}
