/// Blocks of `prestateTracer` transactions to mini-blocks: feeds the builder, seals every N transactions and at each
/// block's end, applies, hands out. Spec 70.9.
///
/// **Bridges.** The input need not be consecutive blocks, and changes outside of transactions (rewards, withdrawals) are in
/// no trace. So before a block the importer compares what its transactions found (`pre`, each key at its first touch)
/// with the state; where they differ, an explicit mini-block of kind `bridge` first sets the state right. It is counted
/// apart. The same happens in front of a transaction in the middle of a block, if the transactions before it do not
/// lead to what it found: input with transactions left out.
///
/// **What is unknown is not a difference**: code that `pre` does not give stays as it is. **What did not exist** (in `post`
/// only) had no storage either.
///
/// Heights count on from the state's own. The clock is virtual: mini-block h is sealed at h × 10 ms.

import MillraceBase
public import MillraceDiff

public enum MiniBlockRule: Equatable, Sendable {
    /// A mini-block holds this many transactions at most; a block's last one may hold fewer.
    case transactions(Int)
    case perBlock
}

public struct ImportTotals: Equatable, Sendable {
    public var blocks: UInt64 = 0
    public var transactions: UInt64 = 0
    /// Per transaction, before merging: accounts in `pre` or `post`, slots in either, bytes of code in `post`.
    public var accountWrites: UInt64 = 0
    public var slotWrites: UInt64 = 0
    public var codeBytes: UInt64 = 0
    /// Without bridges.
    public var miniBlocks: UInt64 = 0
    public var bridgeMiniBlocks: UInt64 = 0
    /// Keys that bridges set right.
    public var bridgedAccounts: UInt64 = 0
    public var bridgedSlots: UInt64 = 0
    /// The published measure over the mini-blocks, without bridges.
    public var rawBytes: UInt64 = 0

    public init() {}
}

public final class PrestateImporter {
    public let state: State
    public let rule: MiniBlockRule
    public private(set) var totals = ImportTotals()
    private let builder: DiffBuilder
    private var diff = StateDiff()
    private var height: UInt64
    /// Accounts and slots that the block at hand has touched so far.
    private var touched = FirstTouches()

    /// Traces name no preimages: with `findsOperations` they are searched for, for up to 40 ms a mini-block.
    public init(state: State, rule: MiniBlockRule, findsOperations: Bool = true) {
        self.state = state
        self.rule = rule
        builder = DiffBuilder(
            state: state, findsOperations: findsOperations, searchesPreimages: findsOperations)
        height = state.height
    }

    /// Takes the transactions of one block in order (or any batch of a live feed). `emit` gets each sealed diff after it
    /// has been applied.
    public func add<Failure: Error>(
        block transactions: [PrestateTransaction], emit: (StateDiff) throws(Failure) -> Void
    ) throws(Failure) {
        guard !transactions.isEmpty else { return }
        totals.blocks += 1
        touched.removeAll()
        var isBridged = false
        for transaction in transactions { isBridged = bridgeFirstTouches(of: transaction) || isBridged }
        if isBridged { try seal(.bridge, emit) }

        let limit: Int
        switch rule {
        case .transactions(let count): limit = max(1, count)
        case .perBlock: limit = .max
        }
        var pending = 0
        for transaction in transactions {
            if !fits(transaction) {
                // Transactions are missing between the one before and this one.
                if pending > 0 { try seal(.transactions, emit) }
                pending = 0
                touched.removeAll()
                _ = bridgeFirstTouches(of: transaction)
                try seal(.bridge, emit)
            }
            write(transaction)
            pending += 1
            if pending == limit {
                try seal(.transactions, emit)
                pending = 0
            }
        }
        if pending > 0 { try seal(.transactions, emit) }
    }

    // MARK: Bridges

    /// Writes what `transaction` found into the builder, where it is the first to touch a key and found another value
    /// than the state has. Answers whether there was anything.
    private func bridgeFirstTouches(of transaction: PrestateTransaction) -> Bool {
        var isBridged = false
        for account in transaction.accounts {
            let address = account.address
            let isFirst = touched.insert(address)
            if isFirst {
                if let before = account.before {
                    let differs =
                        builder.balance(of: address) != before.balance
                        || builder.nonce(of: address) != before.nonce
                    if differs { builder.setAccount(address, balance: before.balance, nonce: before.nonce) }
                    let code = bridgeCode(address, before.code)
                    if differs || code {
                        totals.bridgedAccounts += 1
                        isBridged = true
                    }
                } else if builder.isPresent(address) || hasStorage(address) {
                    builder.destroy(address)
                    totals.bridgedAccounts += 1
                    isBridged = true
                }
            }
            // Created or destroyed in this block: what its slots held before the block no longer shows.
            if account.before == nil { touched.reset(address) }
            for slot in account.slots where !touched.isReset(address) {
                guard touched.insert(address, slot.slot) else { continue }
                if builder.slotValue(address, slot.slot) != slot.old {
                    builder.setSlot(address, slot.slot, to: slot.old)
                    totals.bridgedSlots += 1
                    isBridged = true
                }
            }
            if account.after == nil { touched.reset(address) }
        }
        return isBridged
    }

    private func bridgeCode(_ address: Address, _ code: [UInt8]?) -> Bool {
        guard let code, builder.codeHash(of: address) != CodeHash.of(code) else { return false }
        builder.setCode(address, to: code)
        return true
    }

    private func hasStorage(_ address: Address) -> Bool {
        guard let id = state.account(at: address) else { return false }
        var has = false
        state.forEachSlot(of: id) { if !state.value(of: $0).isZero { has = true } }
        return has
    }

    /// Whether a transaction found what the ones before it left.
    private func fits(_ transaction: PrestateTransaction) -> Bool {
        for account in transaction.accounts {
            let address = account.address
            if let before = account.before {
                guard builder.balance(of: address) == before.balance,
                    builder.nonce(of: address) == before.nonce
                else {
                    return false
                }
                if let code = before.code, builder.codeHash(of: address) != CodeHash.of(code) { return false }
            } else if builder.isPresent(address) {
                return false
            }
            for slot in account.slots where builder.slotValue(address, slot.slot) != slot.old { return false }
        }
        return true
    }

    // MARK: Transactions

    private func write(_ transaction: PrestateTransaction) {
        totals.transactions += 1
        builder.beginTransaction()
        for account in transaction.accounts {
            let address = account.address
            totals.accountWrites += 1
            totals.slotWrites += UInt64(account.slots.count)
            for slot in account.slots { builder.setSlot(address, slot.slot, to: slot.new) }
            guard let after = account.after else {
                builder.destroy(address)
                continue
            }
            switch (after.balance, after.nonce) {
            case (let balance?, let nonce?): builder.setAccount(address, balance: balance, nonce: nonce)
            case (let balance?, nil): builder.setBalance(address, to: balance)
            case (nil, let nonce?): builder.setNonce(address, to: nonce)
            case (nil, nil): break
            }
            if let code = after.code {
                totals.codeBytes += UInt64(code.count)
                builder.setCode(address, to: code)
            }
        }
        builder.endTransaction()
    }

    private func seal<Failure: Error>(
        _ kind: DiffKind, _ emit: (StateDiff) throws(Failure) -> Void
    ) throws(Failure) {
        height += 1
        builder.seal(
            kind: kind, firstHeight: height, lastHeight: height, sealedAtMicroseconds: height &* 10_000,
            into: &diff)
        do throws(DiffError) {
            try state.apply(diff)
        } catch {
            preconditionFailure(
                "a diff fresh from the builder does not fit its state at height \(height): \(error)")
        }
        if kind == .bridge {
            totals.bridgeMiniBlocks += 1
        } else {
            totals.miniBlocks += 1
            totals.rawBytes += diff.rawBytes
        }
        try emit(diff)
    }
}
