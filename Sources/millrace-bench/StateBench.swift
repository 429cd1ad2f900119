/// State, builder and commitment on a state larger than the caches: mini-blocks of 1,000 swap-like transactions (6 slots
/// and 3 accounts each, half of the keys from a hot twentieth), beside what 100,000 TPS needs, a `Dictionary`, and bare
/// BLAKE2b. Times are this thread's CPU time, so that other work on the machine does not show. Counts heap allocations in
/// steady state and fails when there are any.

import ArgumentParser
import CMillraceCounting
import Glibc
import MillraceBase
import MillraceCrypto
import MillraceDiff

struct StateBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state",
        abstract: "Sealing, applying, looking up and committing to state, beside a Dictionary.")
    @OptionGroup var options: BenchOptions
    @Option(help: "Slots in the state; a quarter as many accounts.")
    var slots = 4_000_000
    @Option(help: "Mini-blocks to measure.")
    var miniBlocks = 200

    func validate() throws {
        guard slots >= 1_000, slots <= 100_000_000, miniBlocks >= 100, miniBlocks <= 100_000 else {
            throw ValidationError("--slots is 1,000 to 100,000,000, --mini-blocks 100 to 100,000")
        }
    }

    func run() throws {
        var report = BenchReport("state")
        var load = Load(slots: slots)
        let state = State(seed: Seed(7))
        state.reserve(accounts: slots / 4 + 1_000, slots: slots + 1_000)
        let builder = DiffBuilder(state: state)
        try load.genesis(into: state, builder)
        report.row("cells", Double(state.accountCount + state.slotCount), "cells")
        report.row(
            "memory, cells and indexes",
            Double(state.memoryBytes) / Double(state.accountCount + state.slotCount),
            "bytes/cell")

        lookups(state, &load, &report)
        let commitment = StateCommitment(of: state)
        var start = cpuSeconds()
        _ = commitment.commitmentNow()
        let cells = Double(state.accountCount + state.slotCount)
        report.row("first commitment, every leaf", cells / (cpuSeconds() - start), "leaves/s")
        report.row("memory, commitment", Double(commitment.memoryBytes) / cells, "bytes/cell")

        // Mini-blocks as a sequencer makes them, kept to be applied again by a replica.
        var (writing, sealing, applying, hashing, freezing) = (0.0, 0.0, 0.0, 0.0, 0.0)
        var (writes, changes, dirty, worst) = (0, 0, 0, 0.0)
        var diff = StateDiff()
        var allocations: UInt64 = 0
        for height in 1...miniBlocks {
            load.draw()
            // The first half lets every buffer grow to its size.
            let allocationsBefore = mr_allocation_count()
            start = cpuSeconds()
            load.write(to: builder)
            let written = cpuSeconds()
            let counts = builder.seal(
                kind: .transactions, firstHeight: UInt64(height), lastHeight: UInt64(height),
                sealedAtMicroseconds: 0,
                into: &diff)
            let sealed = cpuSeconds()
            try state.apply(diff)
            let applied = cpuSeconds()
            if height % 100 == 0 {
                dirty += commitment.dirtyCount
                commitment.freeze()
            }
            let frozen = cpuSeconds()
            commitment.advance(leaves: commitment.leavesPerStep(steps: 1))
            let hashed = cpuSeconds()
            if height > miniBlocks / 2 { allocations += mr_allocation_count() - allocationsBefore }
            writes += Int(counts.slotWrites + counts.accountWrites)
            changes += diff.slotChanges.count + diff.accountChanges.count
            writing += written - start
            sealing += sealed - written
            applying += applied - sealed
            freezing = max(freezing, frozen - applied)
            hashing += hashed - frozen
            worst = max(worst, applied - sealed)
        }
        let need = Double(writes) / Double(miniBlocks) * 100
        report.row("builder, writes", Double(writes) / writing, "writes/s", peer: "at 100k TPS", need)
        report.row("builder, seal", Double(changes) / sealing, "cells/s")
        let merged = Double(changes) / Double(miniBlocks) * 100
        report.row("apply", Double(changes) / applying, "cells/s", peer: "at 100k TPS", merged)
        report.row("apply, worst mini-block", worst * 1e3, "ms")
        report.row("freeze, worst", freezing * 1e3, "ms")
        report.row("commitment, changed leaves", Double(dirty) / hashing, "leaves/s")
        let evmBlocks = Double(miniBlocks / 100)
        report.row("commitment, per EVM block", hashing / evmBlocks * 1e3, "ms", peer: "an EVM block", 1_000)
        report.row("heap allocations, last half", Double(allocations), "allocations")

        var block = [UInt8](repeating: 7, count: 128)
        let bare = cpuRate(seconds: options.seconds) {
            block.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                for _ in 0..<100 { Blake2b.hash(UnsafeRawPointer(base), count: 128, into: base) }
            }
        }
        report.row("bare BLAKE2b-256 of 128 bytes", bare * 100, "hashes/s")
        report.print(json: options.json)
        if allocations > 0 { throw ExitCode(1) }
    }

    /// Random known keys: one by one, in batches, and in a `Dictionary` of the same content.
    private func lookups(_ state: State, _ load: inout Load, _ report: inout BenchReport) {
        var dictionary: [SlotKey: UInt32] = [:]
        dictionary.reserveCapacity(state.slotCount)
        for i in 0..<state.slotCount { dictionary[state.key(of: SlotID(UInt32(i)))] = UInt32(i) }
        let keys = (0..<100_000).map { _ in
            state.key(of: SlotID(UInt32(load.generator.below(UInt64(state.slotCount)))))
        }
        var sum: UInt32 = 0
        let count = Double(keys.count)
        let theirs =
            cpuRate(seconds: options.seconds) { for key in keys { sum &+= dictionary[key] ?? 0 } } * count
        let single =
            cpuRate(seconds: options.seconds) { for key in keys { sum &+= state.slot(key)?.index ?? 0 } }
            * count
        var found: [SlotID?] = []
        let batch = cpuRate(seconds: options.seconds) { state.slots(keys, found: &found) } * count
        let ids = found.compactMap { $0 }
        let byID = cpuRate(seconds: options.seconds) {
            for id in ids { sum &+= UInt32(truncatingIfNeeded: state.value(of: id).w0) }
        }
        precondition(found.allSatisfy { $0 != nil } && sum != 1)
        report.row("slot values by id, random", byID * count, "reads/s", peer: "Dictionary", theirs)
        report.row("slot lookups, one by one", single, "lookups/s", peer: "Dictionary", theirs)
        report.row("slot lookups, batch", batch, "lookups/s", peer: "Dictionary", theirs)
    }
}

/// CPU time of this thread.
private func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// How often a CPU second `body` runs: the median of five stretches, after one to warm up.
private func cpuRate(seconds: Double, _ body: () -> Void) -> Double {
    var rates: [Double] = []
    for _ in 0..<6 {
        let start = cpuSeconds()
        var count = 0
        var now = start
        repeat {
            body()
            count += 1
            now = cpuSeconds()
        } while now - start < seconds / 6
        rates.append(Double(count) / (now - start))
    }
    return rates.dropFirst().sorted()[2]
}

/// The keys of the benchmark and one mini-block's writes to them, drawn before the clock starts.
private struct Load {
    struct SlotWrite {
        var account: Address
        var slot: U256
        var value: U256
    }

    static let contracts: UInt64 = 400
    let slots: Int
    var generator = Seed(3).generator("bench.state")
    var slotWrites: [SlotWrite] = []
    var accounts: [Address] = []

    init(slots: Int) { self.slots = slots }

    static func account(_ i: UInt64) -> Address {
        Address(
            high: i &* 0x9E37_79B9_7F4A_7C15, middle: i &* 0xBF58_476D_1CE4_E5B9,
            low: UInt32(truncatingIfNeeded: i))
    }

    static func slot(_ i: UInt64) -> U256 {
        U256(i &* 0x94D0_49BB_1331_11EB, i &* 0x9E37_79B9_7F4A_7C15, i, i &* 0xD6E8_FEB8_6659_FD93)
    }

    /// The genesis in diffs of 64 Ki cells.
    func genesis(into state: State, _ builder: DiffBuilder) throws {
        var diff = StateDiff()
        var pending = 0
        func seal() throws {
            builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
            try state.apply(diff)
            pending = 0
        }
        for i in 0..<UInt64(slots) {
            builder.setSlot(Load.account(i % Load.contracts), Load.slot(i), to: U256(i + 1))
            if i % 4 == 0 { builder.setAccount(Load.account(i / 4), balance: U256(i + 1), nonce: 1) }
            pending += 1
            if pending == 50_000 { try seal() }
        }
        try seal()
    }

    private mutating func pick(_ count: Int) -> UInt64 {
        generator.below(2) == 0 ? generator.below(UInt64(max(count / 20, 1))) : generator.below(UInt64(count))
    }

    mutating func draw() {
        slotWrites.removeAll(keepingCapacity: true)
        accounts.removeAll(keepingCapacity: true)
        for _ in 0..<6_000 {
            let i = pick(slots)
            slotWrites.append(
                SlotWrite(
                    account: Load.account(i % Load.contracts), slot: Load.slot(i),
                    value: U256(generator.next())))
        }
        for _ in 0..<3_000 { accounts.append(Load.account(pick(slots / 4))) }
    }

    func write(to builder: DiffBuilder) {
        for i in 0..<1_000 {
            builder.beginTransaction()
            for write in slotWrites[(i * 6)..<(i * 6 + 6)] {
                builder.setSlot(write.account, write.slot, to: write.value)
            }
            for address in accounts[(i * 3)..<(i * 3 + 3)] {
                builder.setAccount(address, balance: builder.balance(of: address) &+ 1, nonce: 2)
            }
            builder.endTransaction()
        }
    }
}
