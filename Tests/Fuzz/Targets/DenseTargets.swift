/// Payloads that say as much as a byte of payload may: so predictable that they are padded up to the least length for their
/// work. What they take of a processor for each KiB is close to the most that any payload can take.
///
/// A payload here takes milliseconds, so this is a target of its own, for thousands of inputs and not millions.

import MillraceBase
import MillraceCodec
import MillraceCrypto
import MillraceDiff
import Synchronization

/// A genesis and one mini-block.
private func stream(_ genesis: (DiffBuilder) -> Void, _ block: (DiffBuilder) -> Void) -> [StateDiff] {
    let state = State(seed: Seed(1))
    let builder = DiffBuilder(state: state)
    var diffs: [StateDiff] = []
    for height in 0...1 as ClosedRange<UInt64> {
        if height == 0 { genesis(builder) } else { block(builder) }
        var diff = StateDiff()
        builder.seal(
            kind: height == 0 ? .genesis : .transactions, firstHeight: height, lastHeight: height,
            sealedAtMicroseconds: height, into: &diff)
        guard (try? state.apply(diff)) != nil else { preconditionFailure("a sealed diff was refused") }
        diffs.append(diff)
    }
    return diffs
}

private func address(_ number: UInt64) -> Address { Address(high: 7, middle: number, low: 1) }

private let time: UInt64 = 1_700_000_000

/// The streams, each dense in its own way.
private func denseStreams() -> [[StateDiff]] {
    let (owner, many) = (address(0), 2_400 as UInt64)
    func accounts(_ builder: DiffBuilder, _ count: UInt64) {
        for i in 0..<count { builder.setAccount(address(i), balance: 1 << 60, nonce: 1) }
    }
    func slots(_ builder: DiffBuilder, _ count: UInt64, _ value: (UInt64) -> U256) {
        for i in 0..<count { builder.setSlot(owner, U256(i), to: value(i)) }
    }
    func packed(_ last: UInt64) -> U256 {
        U256(1) << 100 | U256(last) << 160 | U256(last) << 184 | U256(last) << 200 | U256(last) << 216
            | U256(last) << 232
    }
    return [
        // Every account one nonce further.
        stream(
            { accounts($0, many) },
            { builder in
                for i in 0..<many { builder.setAccount(address(i), balance: 1 << 60, nonce: 2) }
            }),
        // Slots that all take the time; that fall to zero; whose every field changes.
        stream({ slots($0, many) { _ in U256(time - 12) } }, { slots($0, many) { _ in U256(time) } }),
        stream({ slots($0, many) { _ in 5 } }, { slots($0, many) { _ in .zero } }),
        stream({ slots($0, many) { _ in packed(1) } }, { slots($0, many) { _ in packed(2) } }),
        // New slots, one after the other.
        stream({ accounts($0, 1) }, { slots($0, many) { _ in 1 } }),
        // New entries of a mapping of the accounts.
        stream(
            { accounts($0, 300) },
            { builder in
                for i in 0..<300 as Range<UInt64> {
                    let key = address(i).word
                    builder.setSlot(
                        owner, Keccak256.mappingSlot(key: key, base: 3), to: 1,
                        preimage: .mapping(base: 3, key: key))
                }
            }),
        // A contract with many slots destroyed.
        stream({ slots($0, 800) { _ in 5 } }, { $0.destroy(owner) }),
        // Pools whose price sums grow.
        stream(
            { builder in
                for i in 0..<300 as Range<UInt64> {
                    builder.setSlot(address(i), 8, to: U256(1) | U256(1) << 112 | U256(time - 12) << 224)
                    builder.setSlot(address(i), 9, to: 1)
                    builder.setSlot(address(i), 10, to: 1)
                }
            },
            { builder in
                for i in 0..<300 as Range<UInt64> {
                    builder.setSlot(address(i), 8, to: U256(1) | U256(1) << 112 | U256(time) << 224)
                    builder.setSlot(address(i), 9, to: 1 &+ (U256(12) << 112))
                    builder.setSlot(address(i), 10, to: 1 &+ (U256(12) << 112))
                }
            }),
        // Everybody pays one account the same.
        stream(
            { accounts($0, 301) },
            { builder in
                for i in 1..<301 as Range<UInt64> {
                    builder.beginTransaction()
                    builder.setAccount(address(i), balance: (1 << 60) &- 42_000 &- 7, nonce: 2)
                    builder.setBalance(owner, to: builder.balance(of: owner) &+ 42_007)
                    builder.endTransaction()
                }
            }),
    ]
}

private final class DenseStages: Sendable {
    static let shared = DenseStages()
    private let stages = Mutex<[PayloadStage]>([])

    func with<T: Sendable>(_ body: ([PayloadStage]) -> T) -> T {
        stages.withLock { stages in
            if stages.isEmpty { stages = denseStreams().map { PayloadStage($0) } }
            return body(stages)
        }
    }
}

extension FuzzTarget {
    static let codecDense = FuzzTarget(
        "codec-dense", bytesMax: 4_096,
        seeds: {
            DenseStages.shared.with { stages in
                stages.enumerated().map { number, stage in [UInt8(number)] + stage.genuine }
            }
        },
        run: { bytes in
            guard let first = bytes.first else { return }
            DenseStages.shared.with { stages in
                let stage = stages[Int(first & 0x7F) % stages.count]
                let input = Array(bytes.dropFirst())
                stage.run(first < 0x80 ? input : stage.assembled(input[...]))
            }
        })
}
