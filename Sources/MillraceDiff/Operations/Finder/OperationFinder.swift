/// Turns the traced writes of a mini-block's transactions into operations and contract facts. Spec 20.7 and 20.8.
///
/// Everything is recognised by behaviour: a mapping whose entries are paid from one to another is a token's balances, a
/// contract whose slot 8 holds its balances of two tokens is a pool. What is not understood is left out; operations are
/// hints, so nothing depends on their being right, and they are right when they explain every write.
///
///     trace ─ per transaction ─▶ sender, fee ─▶ token moves ─▶ swaps ─▶ transfers, mints, burns ─▶ ether
///
/// Owned by a `DiffBuilder`, one thread. What it has learned is a function of the state's facts and of the diffs sealed
/// with it. Memory: that of the largest mini-block (about 100 bytes per touched key), the facts and bounded candidates.

internal import MillraceBase
internal import MillraceCrypto

final class OperationFinder {
    /// Token entries, accounts and other slots of one transaction that are looked at; beyond, it is left to patches.
    static let movesMax = 128
    /// Actions of one transaction.
    static let actionsMax = 32
    private static let transactionsMax = 1 << 20

    private enum SlotKind: UInt8, BitwiseCopyable {
        case unseen, other, plain, balance, allowance
    }
    /// What a pending slot is, found once per mini-block.
    private struct SlotRole: BitwiseCopyable {
        var kind = SlotKind.unseen
        var group = FactBook.noGroup
        /// The holder, or the owner of an allowance.
        var party = Party(raw: 0)
        /// Some transaction's change of it is in no action.
        var isLeft = false
    }
    /// What is known of a pending account, found once per mini-block.
    private struct AccountRole: BitwiseCopyable {
        static let unseen = UInt32.max
        static let none = UInt32.max - 1
        var party = AccountRole.unseen
        var lastGroup = FactBook.noGroup
        /// Transactions of the mini-block it gained ether in.
        var gains: UInt32 = 0
    }
    /// A slot of the transaction at hand that is no token's balance.
    private struct OtherSlot: BitwiseCopyable {
        let entry: UInt32
        let old: U256
        let new: U256
    }
    /// A swap of the transaction at hand.
    private struct FoundSwap: BitwiseCopyable {
        let pool: Int
        let zeroForOne: Bool
        let amountIn: U256, amountOut: U256
        let isByFormula: Bool
        let groupIn: UInt32, groupOut: UInt32
        /// The pool.
        let party: Party
        /// Indices of the pool's moves.
        let moveIn: Int, moveOut: Int
        var payer: Party, payee: Party
        /// Indices among the swaps: the one that pays this one, the one this one pays; -1 for none.
        var previous = -1
        var next = -1
    }

    let state: State
    @exclusivity(unchecked) private var book = FactBook()
    @exclusivity(unchecked) private var fees = FeeSplitter()
    @exclusivity(unchecked) private var found = FoundActions()
    private var coinbaseAddress: Address?
    /// Counts the sections; stamps what belongs to one.
    private var section: UInt64 = 0

    // Of the mini-block at hand.
    @exclusivity(unchecked) private var slotRoles = CellArray<SlotRole>()
    @exclusivity(unchecked) private var accountRoles = CellArray<AccountRole>()
    private var baseAccounts: UInt32 = 0
    private var coinbase: UInt32 = AccountRole.none
    private var baseFee: UInt64 = 0
    private var timestamp: UInt32 = 0
    private var isAnySlotLeft = false

    // Of the transaction at hand.
    @exclusivity(unchecked) private var moves = CellArray<TokenMove>()
    @exclusivity(unchecked) private var ethers = CellArray<EtherMove>()
    @exclusivity(unchecked) private var plains = CellArray<OtherSlot>()
    @exclusivity(unchecked) private var allowances = CellArray<OtherSlot>()
    @exclusivity(unchecked) private var swaps = CellArray<FoundSwap>()
    /// The group each open action's `amount` is of, `noGroup` for ether.
    @exclusivity(unchecked) private var actionGroups = CellArray<UInt32>()
    private var newlySet: UInt32 = 0
    private var cleared: UInt32 = 0

    init(state: State) { self.state = state }

    // MARK: A mini-block

    /// Writes the facts and the one section of a diff sealed from these writes. The diff's keys and values are done.
    func find(_ trace: borrowing TransactionTrace, in writes: PendingWrites, into diff: inout StateDiff) {
        book.follow(state)
        found.removeAll()
        section &+= 1
        baseAccounts = UInt32(truncatingIfNeeded: state.accountCount)
        slotRoles.removeAll()
        slotRoles.extend(to: writes.slotCount, repeating: SlotRole())
        accountRoles.removeAll()
        accountRoles.extend(to: writes.accountCount, repeating: AccountRole())
        (coinbase, baseFee, timestamp, isAnySlotLeft) = (AccountRole.none, 0, 0, false)

        var made = Section()
        if trace.transactionCount > 0, trace.transactionCount <= OperationFinder.transactionsMax {
            findCoinbase(trace, writes)
            findBaseFee(trace)
            for transaction in 0..<trace.transactionCount {
                examine(transaction, of: trace, writes, &diff)
            }
            found.settleFormulas { book.isSpoilt($0) }
            found.write(into: &diff.operations, section: &made)
            if isAnySlotLeft { appendOrigins(writes, &diff.operations) }
        }
        made.newCodes = UInt32(truncatingIfNeeded: diff.newCodes.count)
        made.newAccounts = UInt32(truncatingIfNeeded: diff.newAccounts.count)
        made.newSlots = UInt32(truncatingIfNeeded: diff.newSlots.count)
        made.newFacts = UInt32(truncatingIfNeeded: diff.newFacts.count)
        made.timestamp = timestamp
        made.baseFee = baseFee
        if coinbase != AccountRole.none {
            // An id only where the base state has the account: a section's parties are known before it.
            let id = writes.accounts[Int(coinbase)].id
            if id < baseAccounts { made.coinbase = AccountID(id) }
        }
        diff.operations.sections.append(made)
    }

    /// The account that gained ether in the most transactions; among equals the one of the mini-block before, else one
    /// without code.
    private func findCoinbase(_ trace: borrowing TransactionTrace, _ writes: PendingWrites) {
        let lines = trace.accountsBase
        // Gains, then what decides among equals.
        var best: UInt32 = 0
        for i in 0..<trace.accounts(of: trace.transactionCount - 1).upperBound {
            let line = lines[i]
            guard line.oldBalance < line.newBalance else { continue }
            let role = accountRoles.base + Int(line.entry)
            role.pointee.gains &+= 1
            if role.pointee.gains << 2 | 3 <= best { continue }
            let account = writes.accounts + Int(line.entry)
            var rank = role.pointee.gains << 2
            if account.pointee.address == coinbaseAddress {
                rank |= 2
            } else if account.pointee.old.code == .none {
                rank |= 1
            }
            if rank > best { (best, coinbase) = (rank, line.entry) }
        }
        if coinbase != AccountRole.none { coinbaseAddress = writes.accounts[Int(coinbase)].address }
    }

    private func findBaseFee(_ trace: borrowing TransactionTrace) {
        var found = BaseFee()
        for transaction in 0..<trace.transactionCount {
            var sum = U256.zero
            for i in trace.accounts(of: transaction) {
                let line = trace.accountsBase + i
                sum = sum &+ (line.pointee.newBalance &- line.pointee.oldBalance)
            }
            guard sum.isNegative, let burnt = sum.negated.asUInt128 else { continue }
            found.add(burnt: burnt, isPlain: trace.slots(of: transaction).isEmpty)
        }
        baseFee = found.found
    }

    // MARK: A transaction

    private func examine(
        _ transaction: Int, of trace: borrowing TransactionTrace, _ writes: PendingWrites,
        _ diff: inout StateDiff
    ) {
        guard let sender = sender(trace, trace.accounts(of: transaction), writes) else {
            leave(trace, trace.slots(of: transaction))
            return
        }
        ethers.removeAll()
        var (sum, senderLoss, gain) = (U256.zero, U256.zero, U256.zero)
        for i in trace.accounts(of: transaction) {
            let line = trace.accountsBase[i]
            let difference = line.newBalance &- line.oldBalance
            sum = sum &+ difference
            if line.entry == sender { senderLoss = difference.negated }
            if line.entry == coinbase, !difference.isNegative { gain = difference }
            if ethers.count < OperationFinder.movesMax, !difference.isZero || line.entry == sender {
                ethers.append(EtherMove(party: party(ofAccount: line.entry, writes), difference: difference))
            }
        }
        gather(trace, trace.slots(of: transaction), writes)
        let senderParty = party(ofAccount: sender, writes)
        learnTokens(writes, &diff)
        findSwaps(sender: senderParty, writes, &diff)
        let isPlain = trace.slots(of: transaction).isEmpty
        guard let fee = fee(burnt: sum.negated, gain: gain, senderLoss: senderLoss, isPlain: isPlain) else {
            leave(trace, trace.slots(of: transaction))
            return
        }
        actionGroups.removeAll()
        appendEther(fee, sender: senderParty, writes)
        appendMoves(sender: senderParty, writes, &diff)
        appendSwaps()
        matchAllowances(writes, &diff)
        if found.openActions.count > OperationFinder.actionsMax {
            found.dropOpenActions()
            leave(trace, trace.slots(of: transaction))
        }
        for i in 0..<moves.count where moves.base[i].isLeft && moves.base[i].entry != TokenMove.noEntry {
            leave(moves.base[i].entry)
        }
        found.close(sender: AccountID(writes.accounts[Int(sender)].id), gas: fee.gas, price: fee.price)
    }

    // MARK: What no action accounts for

    private func leave(_ slot: UInt32) {
        slotRoles.base[Int(slot)].isLeft = true
        isAnySlotLeft = true
    }

    private func leave(_ trace: borrowing TransactionTrace, _ lines: Range<Int>) {
        for i in lines { leave(trace.slotsBase[i].entry) }
    }

    /// The origins of changed slots that were known before and are not all in actions, by id.
    private func appendOrigins(_ writes: PendingWrites, _ operations: inout Operations) {
        for i in 0..<writes.slotCount where slotRoles.base[i].isLeft {
            let slot = writes.slots + i
            if slot.pointee.id == PendingSlot.unknown || slot.pointee.old == slot.pointee.value { continue }
            let preimage = writes.preimage(of: i)
            if preimage == .none { continue }
            operations.origins.append(SlotOrigin(id: SlotID(slot.pointee.id), preimage: preimage))
        }
        operations.origins.sort { $0.id < $1.id }
    }

    // MARK: Senders

    /// The known account without code whose nonce rose by one; of several the first whose balance fell.
    private func sender(
        _ trace: borrowing TransactionTrace, _ lines: Range<Int>, _ writes: PendingWrites
    ) -> UInt32? {
        var first: UInt32?
        for i in lines {
            let line = trace.accountsBase + i
            guard line.pointee.newNonce == line.pointee.oldNonce &+ 1 else { continue }
            let entry = writes.accounts + Int(line.pointee.entry)
            guard entry.pointee.id < baseAccounts, entry.pointee.old.code == .none,
                entry.pointee.code == .none
            else { continue }
            if line.pointee.newBalance < line.pointee.oldBalance { return line.pointee.entry }
            if first == nil { first = line.pointee.entry }
        }
        return first
    }

    // MARK: Parties

    private func party(ofAccount entry: UInt32, _ writes: PendingWrites) -> Party {
        let role = accountRoles.base + Int(entry)
        if role.pointee.party == AccountRole.unseen {
            let account = writes.accounts + Int(entry)
            role.pointee.party =
                account.pointee.id < baseAccounts
                ? account.pointee.id : found.literal(account.pointee.address).raw
        }
        return Party(raw: role.pointee.party)
    }

    private func party(at address: Address) -> Party {
        if let id = state.account(at: address) { return Party(id) }
        return found.literal(address)
    }

    // MARK: Slots

    /// Sorts the transaction's slots into token moves, allowances and plain slots.
    private func gather(_ trace: borrowing TransactionTrace, _ lines: Range<Int>, _ writes: PendingWrites) {
        moves.removeAll()
        plains.removeAll()
        allowances.removeAll()
        (newlySet, cleared) = (0, 0)
        if lines.count > OperationFinder.movesMax {
            leave(trace, lines)
            return
        }
        for i in lines {
            let line = trace.slotsBase[i]
            if line.old == line.new { continue }
            if line.old.isZero { newlySet &+= 1 }
            if line.new.isZero { cleared &+= 1 }
            let role = slotRoles.base + Int(line.entry)
            if role.pointee.kind == .unseen { role.pointee = self.role(of: Int(line.entry), writes) }
            switch role.pointee.kind {
            case .balance:
                moves.append(
                    TokenMove(
                        entry: line.entry, group: role.pointee.group, party: role.pointee.party,
                        old: line.old, new: line.new))
            case .plain: plains.append(OtherSlot(entry: line.entry, old: line.old, new: line.new))
            case .allowance: allowances.append(OtherSlot(entry: line.entry, old: line.old, new: line.new))
            case .unseen, .other: leave(line.entry)
            }
        }
    }

    private func role(of slot: Int, _ writes: PendingWrites) -> SlotRole {
        let entry = writes.slots + slot
        let owner = writes.accounts + Int(entry.pointee.account)
        // A contract that ends without an id cannot be named.
        guard owner.pointee.id != PendingAccount.unknown else { return SlotRole(kind: .other) }
        switch writes.preimage(of: slot) {
        case .none:
            return SlotRole(kind: entry.pointee.slot.asUInt64 == nil ? .other : .plain)
        case .mapping(let base, let key):
            guard key.isAddress else { return SlotRole(kind: .other) }
            let group = group(ofAccount: entry.pointee.account, base, writes)
            return SlotRole(kind: .balance, group: group, party: party(at: Address(truncating: key)))
        case .nested(_, let outer, let inner):
            guard outer.isAddress, inner.isAddress else { return SlotRole(kind: .other) }
            return SlotRole(kind: .allowance, party: party(at: Address(truncating: outer)))
        }
    }

    private func group(ofAccount entry: UInt32, _ base: U256, _ writes: PendingWrites) -> UInt32 {
        let role = accountRoles.base + Int(entry)
        let last = role.pointee.lastGroup
        if last != FactBook.noGroup, book.groups[Int(last)].base == base { return last }
        let contract = AccountID(writes.accounts[Int(entry)].id)
        let group = book.group(
            contract, base, code: contract.index < baseAccounts ? state.value(of: contract).code : .none)
        role.pointee.lastGroup = group
        return group
    }

    // MARK: Tokens

    /// A group becomes a token when two or more of its entries change and nothing is lost, or what is gained or lost is
    /// the change of a plain slot of the contract, or of its ether.
    private func learnTokens(_ writes: PendingWrites, _ diff: inout StateDiff) {
        for i in 0..<moves.count {
            let group = moves.base[i].group
            if book.groups[Int(group)].fact != .none { continue }
            var (sum, count) = (U256.zero, 0)
            for j in 0..<moves.count where moves.base[j].group == group {
                sum = sum &+ moves.base[j].rest
                count += 1
            }
            if sum.isZero ? count < 2 : !isExplained(sum, of: group, writes) { continue }
            let token = book.groups[Int(group)]
            _ = book.learn(
                .token(contract: token.contract, base: token.base, keyFirst: true), into: &diff)
        }
    }

    /// What a token's holders gained or lost together is nothing, or the supply, or ether that the contract wraps.
    private func isExplained(_ sum: U256, of group: UInt32, _ writes: PendingWrites) -> Bool {
        sum.isZero || supplySlot(of: group, changedBy: sum, writes) != nil || isWrapped(sum, in: group)
    }

    /// The token's contract got, or paid, as much ether.
    private func isWrapped(_ sum: U256, in group: UInt32) -> Bool {
        let contract = Party(book.groups[Int(group)].contract)
        for i in 0..<ethers.count where ethers.base[i].party == contract && ethers.base[i].difference == sum {
            return true
        }
        return false
    }

    private func sum(of group: UInt32) -> U256 {
        var sum = U256.zero
        for i in 0..<moves.count where moves.base[i].group == group {
            sum = sum &+ (moves.base[i].new &- moves.base[i].old)
        }
        return sum
    }

    /// The plain slot of a token's contract that changed by as much.
    private func supplySlot(of group: UInt32, changedBy sum: U256, _ writes: PendingWrites) -> U256? {
        let token = book.groups[Int(group)]
        for i in 0..<plains.count {
            let plain = plains.base[i]
            guard plain.new &- plain.old == sum else { continue }
            let entry = writes.slots + Int(plain.entry)
            guard writes.accounts[Int(entry.pointee.account)].id == token.contract.index else { continue }
            if token.hasSupply, token.supplySlot != entry.pointee.slot { continue }
            return entry.pointee.slot
        }
        return nil
    }

    /// Transfers, mints and burns out of what the swaps left of each token's moves.
    private func appendMoves(sender: Party, _ writes: PendingWrites, _ diff: inout StateDiff) {
        for i in 0..<moves.count where !moves.base[i].rest.isZero {
            let group = moves.base[i].group
            let fact = book.groups[Int(group)].fact
            if fact == .none {
                moves.base[i].isLeft = true
                continue
            }
            var sum = U256.zero
            for j in i..<moves.count where moves.base[j].group == group {
                sum = sum &+ moves.base[j].rest
            }
            pairMoves(of: group, fact, from: i)
            if sum.isZero { continue }
            if let supply = supplySlot(of: group, changedBy: sum, writes) {
                if !book.groups[Int(group)].hasSupply,
                    book.learn(.supply(token: fact, slot: supply), into: &diff) == nil
                {
                    clearMoves(of: group, from: i)
                    continue
                }
            } else if !isWrapped(sum, in: group) || book.groups[Int(group)].hasSupply {
                clearMoves(of: group, from: i)
                continue
            }
            for j in i..<moves.count where moves.base[j].group == group && !moves.base[j].rest.isZero {
                let (party, rest) = (moves.base[j].party, moves.base[j].rest)
                append(
                    rest.isNegative
                        ? Action(.burn, fact: fact, payer: party, payee: sender, amount: rest.negated)
                        : Action(.mint, fact: fact, payer: sender, payee: party, amount: rest), group)
                moves.base[j].rest = .zero
            }
        }
    }

    /// What nobody else's loss explains.
    private func clearMoves(of group: UInt32, from first: Int) {
        for j in first..<moves.count where moves.base[j].group == group && !moves.base[j].rest.isZero {
            moves.base[j].rest = .zero
            moves.base[j].isLeft = true
        }
    }

    /// Pays from those who lost to those who gained: equal amounts first, then in order, until one side is through.
    private func pairMoves(of group: UInt32, _ fact: FactID, from first: Int) {
        let (all, count) = (moves.base, moves.count)
        for i in first..<count where all[i].group == group && all[i].rest.isNegative {
            let loss = all[i].rest.negated
            for j in first..<count where all[j].group == group && all[j].rest == loss {
                append(
                    Action(.transfer, fact: fact, payer: all[i].party, payee: all[j].party, amount: loss),
                    group)
                (all[i].rest, all[j].rest) = (.zero, .zero)
                break
            }
        }
        var (from, to) = (first, first)
        while true {
            while from < count, all[from].group != group || !all[from].rest.isNegative { from += 1 }
            while to < count, all[to].group != group || all[to].rest.isZero || all[to].rest.isNegative {
                to += 1
            }
            guard from < count, to < count else { return }
            let amount = min(all[from].rest.negated, all[to].rest)
            append(
                Action(.transfer, fact: fact, payer: all[from].party, payee: all[to].party, amount: amount),
                group)
            all[from].rest = all[from].rest &+ amount
            all[to].rest = all[to].rest &- amount
        }
    }

    // MARK: Swaps

    /// Finds the pools whose reserves follow their balances of two tokens, one up and one down.
    private func findSwaps(sender: Party, _ writes: PendingWrites, _ diff: inout StateDiff) {
        swaps.removeAll()
        if moves.count < 2 { return }
        for i in 0..<plains.count {
            let plain = plains.base[i]
            let entry = writes.slots + Int(plain.entry)
            guard entry.pointee.slot == PoolReserves.slot else { continue }
            let count = swaps.count
            findSwap(plain, entry, writes, &diff)
            if swaps.count == count { book.spoil(AccountID(writes.accounts[Int(entry.pointee.account)].id)) }
        }
        // Who is paid straight by another pool. A literal cannot stand in a chain.
        for i in 0..<swaps.count where swaps.base[i].party.literal == nil {
            for j in 0..<swaps.count
            where j != i && swaps.base[j].party.literal == nil && swaps.base[j].next < 0
                && swaps.base[j].groupOut == swaps.base[i].groupIn
                && swaps.base[j].amountOut == swaps.base[i].amountIn && !follows(i, j)
            {
                swaps.base[i].previous = j
                swaps.base[j].next = i
                break
            }
        }
        for i in 0..<swaps.count { settle(i, sender: sender, writes) }
    }

    /// Finds who pays and who is paid. Where nobody is seen to, the sender had the amount in passing (wrapped ether, say);
    /// where that cannot be, the pool itself stands for them, and its moves are left for transfers.
    private func settle(_ index: Int, sender: Party, _ writes: PendingWrites) {
        let swap = swaps.base[index]
        if swap.previous < 0 {
            if let payer = counterpart(of: swap.amountIn.negated, in: swap.groupIn, isPayer: true) {
                swaps.base[index].payer = moves.base[payer].party
                moves.base[payer].rest = moves.base[payer].rest &+ swap.amountIn
            } else if isExplained(sum(of: swap.groupIn), of: swap.groupIn, writes) {
                swaps.base[index].payer = sender
                pass(swap.amountIn, by: sender, in: swap.groupIn)
            } else {
                moves.base[swap.moveIn].rest = swap.amountIn
                book.withPool(swap.pool) { $0.isSpoilt = true }
            }
        } else {
            swaps.base[index].payer = swaps.base[swap.previous].party
        }
        if swap.next < 0 {
            if let payee = counterpart(of: swap.amountOut, in: swap.groupOut, isPayer: false) {
                swaps.base[index].payee = moves.base[payee].party
                moves.base[payee].rest = moves.base[payee].rest &- swap.amountOut
            } else if isExplained(sum(of: swap.groupOut), of: swap.groupOut, writes) {
                swaps.base[index].payee = sender
                pass(swap.amountOut.negated, by: sender, in: swap.groupOut)
            } else {
                moves.base[swap.moveOut].rest = swap.amountOut.negated
                book.withPool(swap.pool) { $0.isSpoilt = true }
            }
        } else {
            swaps.base[index].payee = swaps.base[swap.next].party
        }
    }

    /// A holder has to come by an amount (or, below zero, get rid of it) apart from the swap.
    private func pass(_ amount: U256, by holder: Party, in group: UInt32) {
        for i in 0..<moves.count where moves.base[i].group == group && moves.base[i].party == holder {
            moves.base[i].rest = moves.base[i].rest &+ amount
            return
        }
        var move = TokenMove(entry: TokenMove.noEntry, group: group, party: holder, old: .zero, new: .zero)
        move.rest = amount
        moves.append(move)
    }

    /// The move of just that much, else the largest of that direction, pools' own apart.
    private func counterpart(of amount: U256, in group: UInt32, isPayer: Bool) -> Int? {
        var best: Int?
        var most = U256.zero
        for i in 0..<moves.count where moves.base[i].group == group {
            let rest = moves.base[i].rest
            if rest.isZero || rest.isNegative != isPayer || isPool(moves.base[i].party) { continue }
            if rest == amount { return i }
            let magnitude = isPayer ? rest.negated : rest
            if most < magnitude { (best, most) = (i, magnitude) }
        }
        return best
    }

    private func isPool(_ party: Party) -> Bool {
        for i in 0..<swaps.count where swaps.base[i].party == party { return true }
        return false
    }

    /// Swap `last` comes after swap `first` on a path.
    private func follows(_ first: Int, _ last: Int) -> Bool {
        var at = first
        while at >= 0 {
            if at == last { return true }
            at = swaps.base[at].next
        }
        return false
    }

    private func findSwap(
        _ plain: OtherSlot, _ entry: UnsafePointer<PendingSlot>, _ writes: PendingWrites,
        _ diff: inout StateDiff
    ) {
        let contract = AccountID(writes.accounts[Int(entry.pointee.account)].id)
        let party = party(ofAccount: entry.pointee.account, writes)
        // The pool's own moves: two of them, in different tokens.
        var (a, b) = (-1, -1)
        for i in 0..<moves.count where moves.base[i].party == party {
            if book.groups[Int(moves.base[i].group)].fact == .none { continue }
            if a < 0 { a = i } else if b < 0 { b = i } else { return }
        }
        guard b >= 0 else { return }
        let (old, new) = (PoolReserves(word: plain.old), PoolReserves(word: plain.new))
        func fits(_ zero: Int, _ one: Int) -> Bool {
            moves.base[zero].new == U256(wide: new.reserve0)
                && moves.base[one].new == U256(wide: new.reserve1)
        }
        let zeroForOne: Bool
        var index = book.pool(contract)
        if let index {
            if book.pools[index].token0 != moves.base[a].group { swap(&a, &b) }
            guard book.pools[index].token0 == moves.base[a].group,
                book.pools[index].token1 == moves.base[b].group, fits(a, b)
            else { return }
        } else if !fits(a, b) {
            swap(&a, &b)
            guard fits(a, b) else { return }
        }
        // From here a is token 0's move and b token 1's: one up, one down.
        let (up, down) = moves.base[a].rest.isNegative ? (b, a) : (a, b)
        guard moves.base[down].rest.isNegative, !moves.base[up].rest.isNegative else { return }
        zeroForOne = up == a
        let (amountIn, amountOut) = (moves.base[up].rest, moves.base[down].rest.negated)
        if index == nil {
            index = learnPool(
                contract, (moves.base[a], moves.base[b]), old, amountIn, amountOut, zeroForOne, &diff)
        }
        guard let index else { return }
        let (isByFormula, tokens) = book.withPool(index) { pool -> (Bool, (UInt32, UInt32)) in
            if pool.section != section {
                pool.section = section
                pool.turn = 0
                pool.isSpoilt = false
                let base = PoolReserves(word: entry.pointee.old)
                (pool.reserve0, pool.reserve1) = (base.reserve0, base.reserve1)
            }
            // Something else moved them since.
            if pool.reserve0 != old.reserve0 || pool.reserve1 != old.reserve1 { pool.isSpoilt = true }
            let out = ConstantProduct.amountOut(
                for: amountIn, reserveIn: zeroForOne ? old.reserve0 : old.reserve1,
                reserveOut: zeroForOne ? old.reserve1 : old.reserve0, kept: pool.kept)
            (pool.reserve0, pool.reserve1) = (new.reserve0, new.reserve1)
            return (out == amountOut, (pool.token0, pool.token1))
        }
        timestamp = new.timestamp
        swaps.append(
            FoundSwap(
                pool: index, zeroForOne: zeroForOne, amountIn: amountIn, amountOut: amountOut,
                isByFormula: isByFormula, groupIn: zeroForOne ? tokens.0 : tokens.1,
                groupOut: zeroForOne ? tokens.1 : tokens.0, party: party, moveIn: up, moveOut: down,
                payer: party, payee: party))
        moves.base[a].rest = .zero
        moves.base[b].rest = .zero
    }

    /// Shares of a payment that pools are known to count.
    private static let keptShares: [UInt16] = [9_970, 9_975, 9_980, 9_990, 10_000]

    private func learnPool(
        _ contract: AccountID, _ moved: (TokenMove, TokenMove), _ old: PoolReserves, _ amountIn: U256,
        _ amountOut: U256, _ zeroForOne: Bool, _ diff: inout StateDiff
    ) -> Int? {
        // Balances and reserves agreed before, too: no coincidence.
        guard moved.0.old == U256(wide: old.reserve0), moved.1.old == U256(wide: old.reserve1) else {
            return nil
        }
        let (reserveIn, reserveOut) =
            zeroForOne ? (old.reserve0, old.reserve1) : (old.reserve1, old.reserve0)
        let kept = OperationFinder.keptShares.first {
            ConstantProduct.amountOut(
                for: amountIn, reserveIn: reserveIn, reserveOut: reserveOut, kept: $0) == amountOut
        }
        guard let kept else { return nil }
        let (token0, token1) = (book.groups[Int(moved.0.group)].fact, book.groups[Int(moved.1.group)].fact)
        guard
            book.learn(
                .pool(contract: contract, token0: token0, token1: token1, kept: kept), into: &diff) != nil
        else { return nil }
        return book.pool(contract)
    }

    /// Appends the swaps, each path from its start.
    private func appendSwaps() {
        for i in 0..<swaps.count where swaps.base[i].previous < 0 {
            var at = i
            while at >= 0 {
                append(swaps.base[at])
                at = swaps.base[at].next
            }
        }
    }

    private func append(_ swap: FoundSwap) {
        var action = Action(
            .swap, fact: book.pools[swap.pool].fact, payer: swap.payer, payee: swap.payee,
            amount: swap.previous < 0 ? swap.amountIn : .zero)
        action.zeroForOne = swap.zeroForOne
        action.isChained = swap.previous >= 0
        action.isByFormula = swap.isByFormula
        // Until it is known whether the pool is left alone for the rest of the section.
        action.amountOut = swap.amountOut
        action.turn = book.withPool(swap.pool) { pool in
            pool.turn &+= 1
            return pool.turn &- 1
        }
        append(action, swap.groupIn)
    }

    private func append(_ action: Action, _ group: UInt32) {
        found.append(action)
        actionGroups.append(group)
    }

    // MARK: Allowances

    /// An allowance that falls by what its owner pays of the token: by one action, or by all of them.
    private func matchAllowances(_ writes: PendingWrites, _ diff: inout StateDiff) {
        for i in 0..<allowances.count {
            let change = allowances.base[i]
            let entry = writes.slots + Int(change.entry)
            let contract = AccountID(writes.accounts[Int(entry.pointee.account)].id)
            guard change.new < change.old,
                case .nested(let base, _, let inner) = writes.preimage(of: Int(change.entry)),
                match(
                    change.old &- change.new, of: slotRoles.base[Int(change.entry)].party, contract, base,
                    spender: Address(truncating: inner), &diff)
            else {
                leave(change.entry)
                continue
            }
        }
    }

    private func match(
        _ fall: U256, of owner: Party, _ contract: AccountID, _ base: U256, spender: Address,
        _ diff: inout StateDiff
    ) -> Bool {
        let open = found.openActions
        var (one, total, group) = (-1, U256.zero, FactBook.noGroup)
        for index in open where isPaid(index, of: open, by: owner, contract) {
            let amount = found.actions[index].amount
            if amount == fall, one < 0 { one = index }
            total = total &+ amount
            group = actionGroups.base[index - open.lowerBound]
        }
        guard group != FactBook.noGroup, one >= 0 || total == fall else { return false }
        if !book.groups[Int(group)].hasAllowances {
            let token = book.groups[Int(group)].fact
            guard book.learn(.allowances(token: token, base: base), into: &diff) != nil else { return false }
        }
        guard book.groups[Int(group)].allowanceBase == base,
            let spender = book.spender(spender) ?? book.learn(.spender(spender), into: &diff)
        else { return false }
        if one >= 0 {
            found.setSpender(spender, of: one)
        } else {
            for index in open where isPaid(index, of: open, by: owner, contract) {
                found.setSpender(spender, of: index)
            }
        }
        return true
    }

    /// The action takes from the owner, of a token of the contract, and no allowance is named for it yet.
    private func isPaid(_ index: Int, of open: Range<Int>, by owner: Party, _ contract: AccountID) -> Bool {
        let group = actionGroups.base[index - open.lowerBound]
        guard group != FactBook.noGroup, book.groups[Int(group)].contract == contract else { return false }
        let action = found.actions[index]
        return (action.kind == .transfer || action.kind == .swap) && !action.isChained
            && action.payer == owner && action.spender == .none
    }

    // MARK: Fee and ether

    private struct Fee {
        var gas: UInt64
        var price: UInt64
    }

    /// `burnt`, `gain` and `senderLoss` modulo 2^256.
    private func fee(burnt: U256, gain: U256, senderLoss: U256, isPlain: Bool) -> Fee? {
        guard !senderLoss.isNegative, let loss = senderLoss.asUInt128 else { return Fee(gas: 0, price: 0) }
        let (burnt, gain) = (burnt.isNegative ? 0 : burnt.low128, gain.asUInt128 ?? 0)
        if baseFee == 0 {
            // What more the coinbase got came from somebody else.
            guard let (gas, price) = fees.split(min(gain, loss), shape: shape, isPlain: isPlain) else {
                return nil
            }
            return Fee(gas: gas, price: price)
        }
        guard let gas = UInt64(exactly: burnt / UInt128(baseFee)), gas > 0 else {
            return Fee(gas: 0, price: 0)
        }
        let (most, total) = (loss / UInt128(gas), burnt.addingReportingOverflow(gain))
        guard !total.overflow else { return nil }
        var price = total.partialValue / UInt128(gas)
        // A tip that is no multiple of the gas: paid otherwise.
        if total.partialValue % UInt128(gas) != 0, loss % UInt128(gas) == 0 { price = most }
        price = max(min(price, most), UInt128(baseFee))
        return UInt64(exactly: price).map { Fee(gas: gas, price: $0) }
    }

    /// Transactions that do the same to the same kind of contracts, so that they need about the same gas.
    private var shape: UInt64 {
        func mix(_ hash: UInt64, _ value: UInt64) -> UInt64 {
            let mixed = (hash ^ value) &* 0x9E37_79B9_7F4A_7C15
            return mixed ^ mixed >> 29
        }
        var hash = UInt64(newlySet) | UInt64(cleared) << 16 | UInt64(truncatingIfNeeded: moves.count) << 32
        hash = mix(
            hash,
            UInt64(truncatingIfNeeded: plains.count) | UInt64(truncatingIfNeeded: allowances.count) << 16)
        hash = mix(hash, UInt64(truncatingIfNeeded: ethers.count))
        for i in 0..<moves.count {
            let code = UInt64(book.groups[Int(moves.base[i].group)].code.index)
            hash &+= mix(code, moves.base[i].new < moves.base[i].old ? 1 << 40 : 0)
        }
        for i in 0..<swaps.count {
            let swap = swaps.base[i]
            let (codeIn, codeOut) = (
                book.groups[Int(swap.groupIn)].code.index, book.groups[Int(swap.groupOut)].code.index
            )
            hash = mix(hash, UInt64(codeIn) << 32 | UInt64(codeOut))
            hash = mix(hash, swap.zeroForOne ? 1 : 2)
        }
        return hash
    }

    /// What is left of the changes of ether when fee and tip are taken out, from losers to gainers: equal amounts first.
    private func appendEther(_ fee: Fee, sender: Party, _ writes: PendingWrites) {
        if ethers.count > OperationFinder.movesMax { return }
        let price = U256(fee.price)
        let coinbaseParty = coinbase == AccountRole.none ? nil : party(ofAccount: coinbase, writes)
        let (all, count) = (ethers.base, ethers.count)
        for i in 0..<count {
            if all[i].party == sender { all[i].rest = all[i].rest &+ U256(fee.gas) &* price }
            if all[i].party == coinbaseParty {
                all[i].rest = all[i].rest &- U256(fee.gas) &* (price &- U256(baseFee))
            }
        }
        for i in 0..<count where all[i].rest.isNegative {
            let loss = all[i].rest.negated
            for j in 0..<count where all[j].rest == loss {
                append(
                    Action(.ether, fact: .none, payer: all[i].party, payee: all[j].party, amount: loss),
                    FactBook.noGroup)
                (all[i].rest, all[j].rest) = (.zero, .zero)
                break
            }
        }
        var (from, to) = (0, 0)
        while true {
            while from < count, !all[from].rest.isNegative { from += 1 }
            while to < count, all[to].rest.isZero || all[to].rest.isNegative { to += 1 }
            guard from < count, to < count else { return }
            let amount = min(all[from].rest.negated, all[to].rest)
            append(
                Action(.ether, fact: .none, payer: all[from].party, payee: all[to].party, amount: amount),
                FactBook.noGroup)
            all[from].rest = all[from].rest &+ amount
            all[to].rest = all[to].rest &- amount
        }
    }
}

extension U256 {
    /// Fits 160 bits.
    var isAddress: Bool { w3 == 0 && w2 >> 32 == 0 }
}
