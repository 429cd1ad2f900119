/// Writes to a state as the bytes say, sealed, applied, composed and undone, beside a dictionary.

import MillraceBase
import MillraceDiff

private struct Cell: Hashable {
    var account: UInt8
    var slot: UInt8
}

extension FuzzTarget {
    static let stateOperations = FuzzTarget(
        "state-operations", bytesMax: 1_024,
        seeds: {
            [
                [0, 1, 5, 9, 3, 0, 1, 5, 8, 3, 4, 3], [0, 1, 5, 9, 0, 1, 6, 9, 3, 2, 1, 3, 0, 1, 5, 1, 3, 4],
                [1, 1, 7, 1, 2, 8, 3, 5, 1, 4, 3, 4, 2, 1, 1, 1, 3, 3, 3],
            ]
        },
        run: { bytes in
            var input = FuzzInput(bytes)
            let state = State(seed: Seed(1))
            let builder = DiffBuilder(state: state)
            let commitment = StateCommitment(of: state)
            var slots: [Cell: UInt8] = [:]
            var balances: [UInt8: UInt8] = [:]
            var diffs: [(diff: StateDiff, before: Hash32)] = []
            func address(_ number: UInt8) -> Address {
                Address(high: 0, middle: 0, low: UInt32(number % 16) + 1)
            }
            while !input.isAtEnd {
                let kind = input.u8() % 6
                switch kind {
                case 0:
                    let cell = Cell(account: input.u8() % 16, slot: input.u8() % 32)
                    let value = input.u8()
                    builder.beginTransaction()
                    builder.setSlot(address(cell.account), U256(UInt64(cell.slot)), to: U256(UInt64(value)))
                    builder.endTransaction()
                    slots[cell] = value
                case 1:
                    let (account, value) = (input.u8() % 16, input.u8())
                    builder.beginTransaction()
                    builder.setBalance(address(account), to: U256(UInt64(value)))
                    builder.endTransaction()
                    balances[account] = value
                case 2:
                    let account = input.u8() % 16
                    builder.beginTransaction()
                    builder.destroy(address(account))
                    builder.endTransaction()
                    balances[account] = 0
                    for cell in slots.keys where cell.account == account { slots[cell] = 0 }
                case 3:
                    var diff = StateDiff()
                    let height = UInt64(diffs.count) + 1
                    let before = commitment.commitmentNow()
                    builder.seal(
                        kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 0,
                        into: &diff)
                    guard (try? state.apply(diff)) != nil else {
                        preconditionFailure("a sealed diff was refused")
                    }
                    diffs.append((diff, before))
                case 4:
                    // A diff applied twice is refused unless it changes nothing, and then nothing changes.
                    guard builder.isEmpty, let last = diffs.last?.diff, !last.isEmpty else { continue }
                    let before = (commitment.commitmentNow(), state.accountCount, state.slotCount)
                    if (try? state.apply(last)) == nil {
                        promise(
                            before == (commitment.commitmentNow(), state.accountCount, state.slotCount),
                            "half applied")
                    } else {
                        promise(
                            last.accountChanges.isEmpty && last.slotChanges.isEmpty,
                            "a diff was applied twice")
                        return
                    }
                default:
                    guard diffs.count >= 2 else { continue }
                    let pair = diffs.suffix(2).map(\.diff)
                    guard (try? StateDiff.compose(pair[0], pair[1])) != nil else {
                        preconditionFailure("two diffs in a row do not compose")
                    }
                }
            }
            guard builder.isEmpty else { return }
            for (cell, value) in slots {
                let found = state.slot(at: address(cell.account), U256(UInt64(cell.slot))).map {
                    state.value(of: $0)
                }
                promise((found ?? .zero) == U256(UInt64(value)), "a slot has another value than was written")
            }
            for (account, value) in balances {
                let found = state.account(at: address(account)).map { state.value(of: $0).balance }
                promise(
                    (found ?? .zero) == U256(UInt64(value)), "an account has another balance than was written"
                )
            }
        })
}
