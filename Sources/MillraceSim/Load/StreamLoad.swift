/// What the sequencer of a simulation seals: real diffs (`full`) or the sizes of real payloads (`network`).
///
/// Sizes are not made up: a stream of the same workload is generated and encoded with the product's codec for a few seconds,
/// and a longer run goes over those seconds again, the first of them left out because its state is colder than any
/// other. Bounded by `PayloadSizes.secondsMax` of stream.

public import MillraceBase
import MillraceCodec
import MillraceCore
import MillraceDiff
public import MillraceWorkload

/// Payload sizes and transactions of consecutive mini-blocks.
public struct PayloadSizes: Sendable {
    public static let secondsMax = 600
    /// What is encoded for the sizes of a run, however long it is: the first second and two steady ones.
    public static let sampleSeconds = 3
    /// Likewise when coarser cadences are served: one c3 window. A later one is some 3 % smaller.
    public static let sampleSecondsOfWindows = 10

    public let workload: WorkloadSpec
    public private(set) var payloadBytes: [Int] = []
    public private(set) var transactions: [Int] = []
    /// Heights before this one are not gone over again.
    private let steadyFrom: Int
    /// Bytes of consecutive windows, by number of the cadence (c1 first); empty when they were not measured.
    private var windows: [[Int]] = [[], [], [], [], []]

    /// Sizes that are given: for tests. All windows of a cadence are alike.
    public init(
        workload: WorkloadSpec, payloadBytes: [Int], transactions: [Int], windowBytes: [Cadence: Int] = [:]
    ) {
        precondition(payloadBytes.count == transactions.count && !payloadBytes.isEmpty)
        self.workload = workload
        self.payloadBytes = payloadBytes
        self.transactions = transactions
        steadyFrom = 0
        for (cadence, bytes) in windowBytes where cadence != .c0 {
            windows[Int(cadence.rawValue) - 1] = [bytes]
        }
    }

    /// Generates and encodes `seconds` of the workload. `progress` is told of every hundred heights.
    public init(
        measuring workload: WorkloadSpec, seconds: Int, windows hasWindows: Bool = false,
        progress: (Int) -> Void = { _ in }
    ) throws(WorkloadError) {
        self.workload = workload
        let wanted = hasWindows ? max(seconds, PayloadSizes.sampleSecondsOfWindows) : seconds
        let heights = min(max(wanted, 1), PayloadSizes.secondsMax) * 100
        steadyFrom = heights > 200 ? 100 : 0
        let stream = WorkloadStream(GeneratedWorkload(workload), seed: Seed(1))
        let codec = Codec()
        let state = State(seed: Seed(1))
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) { try PayloadSizes.apply(diff, to: state) }
        let maker = hasWindows ? WindowMaker(state: state) : nil
        var payload: [UInt8] = []
        for height in 1...UInt64(heights) {
            let wanted = workload.transactions(atHeight: height)
            guard
                try stream.nextMiniBlock(
                    transactions: wanted, sealedAtMicroseconds: height * 10_000, into: &diff)
            else { break }
            payload.removeAll(keepingCapacity: true)
            codec.encode(diff, base: state, into: &payload)
            try PayloadSizes.apply(diff, to: state)
            codec.advance(past: diff, state: state)
            if let maker {
                codec.dropUntold(&diff)
                do throws(DiffError) {
                    for window in try maker.add(diff, payload: payload) {
                        windows[Int(window.cadence.rawValue) - 1].append(window.bytes.count)
                    }
                } catch {
                    throw WorkloadError("a window cannot be made: \(error)")
                }
            }
            let isEmpty = diff.isEmpty && diff.transactions == 0
            payloadBytes.append(isEmpty ? 0 : payload.count)
            transactions.append(Int(diff.transactions))
            if height % 100 == 0 { progress(Int(height / 100)) }
        }
    }

    private static func apply(_ diff: StateDiff, to state: State) throws(WorkloadError) {
        do throws(DiffError) {
            try state.apply(diff)
        } catch {
            throw WorkloadError("a sealed diff does not apply: \(error)")
        }
    }

    /// Where the mini-block at `height` (from 1) is looked up.
    private func place(_ height: UInt64) -> Int {
        let index = Int(clamping: height) - 1
        if index < payloadBytes.count { return max(index, 0) }
        return steadyFrom + (index - steadyFrom) % (payloadBytes.count - steadyFrom)
    }

    /// Bytes of the window that ends at `height`. Where windows were not measured, it comes in parts.
    public func windowBytes(_ cadence: Cadence, endingAt height: UInt64) -> Int {
        let known = cadence == .c0 ? [] : windows[Int(cadence.rawValue) - 1]
        let index = Int(clamping: height / cadence.heights) - 1
        if known.isEmpty {
            return partsBytes(cadence, endingAt: height)
        }
        if index < known.count { return known[max(index, 0)] }
        // The first seconds are colder than any other.
        let steady = known.count > 1 ? known.count / 2 : 0
        return known[steady + (index - steady) % (known.count - steady)]
    }

    /// Whether the window that ends at `height` is told by values: in parts it would take more.
    func isByValues(_ cadence: Cadence, endingAt height: UInt64) -> Bool {
        cadence >= .quarter && windowBytes(cadence, endingAt: height) < partsBytes(cadence, endingAt: height)
    }

    /// What a window takes in parts.
    private func partsBytes(_ cadence: Cadence, endingAt height: UInt64) -> Int {
        let first = height - min(height, cadence.heights)
        return (first..<height).reduce(1) {
            let bytes = payloadBytes(at: $1 + 1)
            return $0 + bytes + (bytes < 1 << 7 ? 1 : bytes < 1 << 14 ? 2 : bytes < 1 << 21 ? 3 : 4)
        }
    }

    public func payloadBytes(at height: UInt64) -> Int { payloadBytes[place(height)] }
    public func transactions(at height: UInt64) -> Int { transactions[place(height)] }
}
