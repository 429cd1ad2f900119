/// Diffs as bytes, and recordings: as files, and as frames whose checksums and chain are made right first, since no
/// fuzzer guesses those.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceRecording

/// A few mini-blocks with everything a diff can hold, on a state of their own.
func sampleDiffs() -> [StateDiff] {
    let state = State(seed: Seed(1))
    let builder = DiffBuilder(state: state)
    var diffs: [StateDiff] = []
    func seal() {
        var diff = StateDiff()
        let height = UInt64(diffs.count) + 1
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: height,
            into: &diff)
        guard (try? state.apply(diff)) != nil else { preconditionFailure("a sealed diff was refused") }
        diffs.append(diff)
    }
    let (a, b) = (Address(high: 1, middle: 2, low: 3), Address(high: 9, middle: 8, low: 7))
    builder.beginTransaction()
    builder.setAccount(a, balance: U256(1_000_000), nonce: 1)
    builder.setCode(b, to: [0x60, 0x00, 0x60, 0x01])
    builder.setSlot(b, U256(5), to: U256(77))
    builder.setSlot(b, U256.max, to: U256.max, preimage: .mapping(base: U256(1), key: U256(2)))
    builder.endTransaction()
    seal()
    builder.beginTransaction()
    builder.setBalance(a, to: U256(999_000))
    builder.setNonce(a, to: 2)
    builder.setSlot(b, U256(5), to: U256(78))
    builder.setSlot(b, U256(6), to: U256(1), preimage: .nested(base: U256(3), outer: U256(4), inner: U256(5)))
    builder.endTransaction()
    seal()
    builder.beginTransaction()
    builder.destroy(b)
    builder.endTransaction()
    seal()
    seal()
    return diffs
}

/// Height 5, with facts, operations and origins.
func hintedDiff() -> StateDiff {
    var diff = StateDiff()
    (diff.firstHeight, diff.lastHeight, diff.sealedAtMicroseconds) = (5, 5, 5)
    let (a, token) = (AccountID(0), FactID(0))
    diff.newFacts = [
        .token(contract: a, base: 9, keyFirst: true), .token(contract: a, base: 8, keyFirst: false),
        .allowances(token: token, base: 10), .supply(token: token, slot: 2),
        .spender(Address(high: 1, middle: 2, low: 3)),
        .pool(contract: a, token0: token, token1: FactID(1), kept: 9_970),
    ]
    var swap = Action(.swap, fact: FactID(5), payer: Party(a), payee: Party(a), amount: 5, spender: FactID(4))
    (swap.zeroForOne, swap.isByFormula) = (true, true)
    var chained = Action(.swap, fact: FactID(5), payer: Party(a), payee: Party(literal: 0), amount: .zero)
    (chained.isChained, chained.amountOut, chained.turn) = (true, U256.max, 1)
    diff.operations.actions = [
        Action(.ether, payer: Party(a), payee: Party(literal: 0), amount: 1), swap, chained,
    ]
    diff.operations.transactions = [
        Transaction(sender: a, gas: 21_000, price: 7, actionCount: 1),
        Transaction(sender: a, gas: 90_000, price: 7, actionCount: 2),
    ]
    diff.operations.literals = [Address(high: 4, middle: 5, low: 6)]
    var section = Section()
    (section.newFacts, section.transactions, section.actions, section.literals) = (6, 2, 3, 1)
    (section.timestamp, section.coinbase, section.baseFee) = (1_000, a, 3)
    diff.operations.sections = [section]
    diff.operations.origins = [
        SlotOrigin(id: SlotID(0), preimage: .mapping(base: 1, key: 2)),
        SlotOrigin(id: SlotID(1), preimage: .nested(base: 3, outer: 4, inner: 5)),
    ]
    return diff
}

private func sampleRecording() -> [UInt8] {
    guard
        let writer = try? RecordingWriter(header: RecordingHeader(chainID: 1, description: "sample")),
        (try? (sampleDiffs() + [hintedDiff()]).forEach { try writer.write($0) }) != nil,
        (try? writer.write(commitment: .zero, height: 5)) != nil,
        let bytes = try? writer.finishedBytes()
    else { preconditionFailure("the sample recording was refused") }
    return bytes
}

/// Reads a recording to its end or first error, and by its index.
private func read(_ bytes: [UInt8]) {
    guard let reader = try? RecordingReader(bytes: bytes) else { return }
    let index = try? reader.storedIndex()
    let state = State(seed: Seed(1))
    var diffs = 0
    while diffs < 4_096, let item = try? reader.next() {
        switch item {
        case .genesis(let diff), .diff(let diff): _ = try? state.apply(diff)
        case .commitment: break
        }
        diffs += 1
    }
    guard let index, let again = try? RecordingReader(bytes: bytes) else { return }
    for entry in index.entries.prefix(4) {
        guard (try? again.seek(to: entry.firstHeight, using: index)) != nil else { continue }
        _ = try? again.next()
    }
}

/// CRC-32C, a bit at a time.
private func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
    }
    return ~crc
}

/// Frames of the given types and bodies, with the checks and the chain of Spec 70.3.
private func framed(_ frames: [(type: UInt8, body: [UInt8])]) -> [UInt8] {
    var file: [UInt8] = [0x4D, 0x49, 0x4C, 0x4C, 0x0D, 0x0A, 0x1A, 0x0A]
    var chain = Blake2b.hash(file)
    for frame in frames {
        var head: [UInt8] = []
        head.appendLittleEndian(UInt32(frame.body.count))
        head.append(frame.type)
        let check = crc32c(head)
        for shift: UInt32 in [0, 8, 16] { head.append(UInt8(truncatingIfNeeded: check >> shift)) }
        head.appendLittleEndian(crc32c(frame.body))
        chain = Blake2b.hash(chain.bytes + head + frame.body)
        file += head + frame.body + chain.bytes
    }
    return file
}

/// Type, length and body of each frame of a file: what `recordingFrames` takes.
private func unframed(_ file: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    var at = 8
    while at + 12 <= file.count {
        let count = Int(file[at]) | Int(file[at + 1]) << 8
        out += [file[at + 4], file[at], file[at + 1]] + file[(at + 12)..<(at + 12 + count)]
        at += 12 + count + 32
    }
    return out
}

extension FuzzTarget {
    static let diffSerialisation = FuzzTarget(
        "diff-serialisation", bytesMax: 4_096,
        seeds: {
            (sampleDiffs() + [hintedDiff()]).map { diff in
                var bytes: [UInt8] = []
                DiffSerialisation.append(diff, to: &bytes)
                return bytes
            }
        },
        run: { bytes in
            var diff = StateDiff()
            var reader = ByteReader(bytes.bytes)
            guard (try? DiffSerialisation.decode(&reader, into: &diff)) != nil else { return }
            var again: [UInt8] = []
            DiffSerialisation.append(diff, to: &again)
            var second = StateDiff()
            var secondReader = ByteReader(again.span.bytes)
            guard (try? DiffSerialisation.decode(&secondReader, into: &second)) != nil else {
                preconditionFailure("what was written cannot be read")
            }
            promise(second == diff, "a diff changed on its way through bytes")
            // Applied or refused, and refused means untouched.
            let state = State(seed: Seed(1))
            do {
                try state.apply(diff)
            } catch {
                promise(
                    state.accountCount == 0 && state.slotCount == 0 && state.codeCount == 0
                        && state.facts.isEmpty, "half applied")
            }
        })

    static let recording = FuzzTarget("recording", bytesMax: 8_192, seeds: { [sampleRecording()] }) { bytes in
        read(Array(bytes))
    }

    static let recordingFrames = FuzzTarget(
        "recording-frames", bytesMax: 8_192, seeds: { [unframed(sampleRecording())] },
        run: { bytes in
            var input = FuzzInput(bytes)
            var frames: [(type: UInt8, body: [UInt8])] = []
            while !input.isAtEnd {
                let type = input.u8()
                frames.append((type, input.bytes(Int(input.u16()))))
            }
            read(framed(frames))
        })
}
