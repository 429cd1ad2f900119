/// Keys that operations bring into being: a payment to an address without an account, the first amount of a holder. Each
/// predicted key costs the answer to whether it came to be; what nobody predicted is written out. Spec 30.12.9.

internal import MillraceBase
internal import MillraceDiff

/// Which of the payload's new slots were predicted: overlay entries, section by section, in the order of their keys.
struct PredictedKeys: ~Copyable {
    var slots: [UInt32] = []
    /// Where each section's part of `slots` ends.
    var slotEnds: [Int] = []
    /// By new account: was it predicted?
    var accounts: [Bool] = []
    var candidates: [UInt32] = []
    var explicitAccounts: [Address] = []
    /// By predicted new slot, the reader's: does it have a patch?
    var patched: [Bool] = []
    /// By new slot, the writer's: was it predicted?
    var slotIsPredicted: [Bool] = []

    mutating func removeAll() {
        slots.removeAll(keepingCapacity: true)
        slotEnds.removeAll(keepingCapacity: true)
        accounts.removeAll(keepingCapacity: true)
        slotIsPredicted.removeAll(keepingCapacity: true)
    }
}

extension Codec {
    // MARK: Accounts

    func codeNewAccounts<C: ColumnCoder & ~Copyable>(
        _ section: inout Section, of diff: inout StateDiff, at cursor: inout SectionCursor, _ coder: inout C
    ) throws(CodecError) {
        gatherAccounts()
        let truth = C.isReader ? 0..<0 : cursor.accounts..<cursor.accounts + Int(section.newAccounts)
        // Those that came to be, in place of the candidates; the rest of the truth is told.
        var at = truth.lowerBound
        var kept = 0
        predicted.explicitAccounts.removeAll(keepingCapacity: true)
        for candidate in predicted.candidates {
            let address = runner.overlay.addresses.base[Int(candidate)]
            while at < truth.upperBound, diff.newAccounts[at] < address {
                predicted.explicitAccounts.append(diff.newAccounts[at])
                at += 1
            }
            let exists = coder.code(
                bit: at < truth.upperBound && diff.newAccounts[at] == address, ModelMap.predictedAccountExists
            )
            if !exists { continue }
            if !C.isReader { at += 1 }
            predicted.candidates[kept] = candidate
            kept += 1
        }
        predicted.candidates.removeLast(predicted.candidates.count - kept)
        if !C.isReader {
            predicted.explicitAccounts.append(contentsOf: diff.newAccounts[at..<truth.upperBound])
        }

        let count = Int(
            clamping: coder.code(
                number: UInt64(predicted.explicitAccounts.count), treeBits: ModelMap.shortNumberBits,
                ModelMap.newAccountCount))
        try coder.spend(count * 20 * CodecLimits.workPerByte)
        try coder.code(newAccounts: &predicted.explicitAccounts, count: count)
        if coder.isOverrun { throw .truncated }
        nameAccounts(&section, of: &diff, isReader: C.isReader)
        cursor.accounts += Int(section.newAccounts)
    }

    /// Accounts without an id that are predicted to be there, ascending by address.
    private func gatherAccounts() {
        predicted.candidates.removeAll(keepingCapacity: true)
        let overlay = runner.overlay.unknownAccounts.base
        for i in 0..<runner.overlay.unknownAccountCount {
            let account = runner.overlay.accounts.base[Int(overlay[i])]
            if account.id == PredictedAccount.unknown, !account.value.isAbsent {
                predicted.candidates.append(overlay[i])
            }
        }
        if predicted.candidates.count > 1 {
            let addresses = runner.overlay.addresses.base
            predicted.candidates.sort { addresses[Int($0)] < addresses[Int($1)] }
        }
    }

    /// Merges predicted and told accounts by address, gives them their ids.
    private func nameAccounts(_ section: inout Section, of diff: inout StateDiff, isReader: Bool) {
        var (i, j) = (0, 0)
        let (candidates, told) = (predicted.candidates.count, predicted.explicitAccounts.count)
        let first = runner.accountEnd
        var named = 0
        while i < candidates || j < told {
            let candidate = i < candidates ? runner.overlay.addresses.base[Int(predicted.candidates[i])] : nil
            let isPredicted: Bool
            if let candidate {
                isPredicted = j == told || candidate < predicted.explicitAccounts[j]
            } else {
                isPredicted = false
            }
            let id = UInt32(truncatingIfNeeded: first + named)
            if isPredicted, let candidate {
                runner.overlay.name(account: Int(predicted.candidates[i]), id: id)
                if isReader { diff.newAccounts.append(candidate) }
                i += 1
            } else {
                let address = predicted.explicitAccounts[j]
                if let entry = runner.overlay.accountEntry(unknown: address),
                    runner.overlay.accounts.base[entry].id == PredictedAccount.unknown
                {
                    runner.overlay.name(account: entry, id: id)
                }
                if isReader { diff.newAccounts.append(address) }
                j += 1
            }
            predicted.accounts.append(isPredicted)
            named += 1
        }
        section.newAccounts = UInt32(truncatingIfNeeded: named)
        let all = diff.newAccounts
        let start = first - runner.accountStart
        runner.name(accounts: all[start..<start + named])
    }

    // MARK: Slots

    /// Asks of each slot predicted to appear in this section whether it did.
    func codePredictedSlots<C: ColumnCoder & ~Copyable>(
        _ section: Section, of diff: borrowing StateDiff, at cursor: inout SectionCursor, _ coder: inout C
    ) {
        gatherSlots()
        let (slots, numbers) = (runner.overlay.slots.base, runner.overlay.slotNumbers.base)
        let truth = C.isReader ? 0..<0 : cursor.slots..<cursor.slots + Int(section.newSlots)
        var at = truth.lowerBound
        for candidate in predicted.candidates {
            let entry = Int(candidate)
            let key = SlotKey(account: AccountID(slots[entry].contract), slot: numbers[entry])
            while at < truth.upperBound, diff.newSlots[at].key < key {
                predicted.slotIsPredicted.append(false)
                at += 1
            }
            let exists = coder.code(
                bit: at < truth.upperBound && diff.newSlots[at].key == key, ModelMap.predictedSlotExists)
            if !exists { continue }
            if !C.isReader {
                predicted.slotIsPredicted.append(true)
                at += 1
            }
            slots[entry].id = PredictedSlot.claimed
            predicted.slots.append(candidate)
        }
        if !C.isReader {
            while at < truth.upperBound {
                predicted.slotIsPredicted.append(false)
                at += 1
            }
        }
        predicted.slotEnds.append(predicted.slots.count)
        cursor.slots += truth.count
        runner.overlay.forgetClaimed()
    }

    private func gatherSlots() {
        predicted.candidates.removeAll(keepingCapacity: true)
        let (unknown, slots) = (runner.overlay.unknownSlots.base, runner.overlay.slots.base)
        let accountEnd = runner.accountEnd
        for i in 0..<runner.overlay.unknownSlotCount {
            let slot = slots[Int(unknown[i])]
            if slot.id == PredictedSlot.unknown, !slot.value.isZero, Int(slot.contract) < accountEnd {
                predicted.candidates.append(unknown[i])
            }
        }
        if predicted.candidates.count > 1 {
            let numbers = runner.overlay.slotNumbers.base
            predicted.candidates.sort {
                let (a, b) = (Int($0), Int($1))
                return slots[a].contract != slots[b].contract
                    ? slots[a].contract < slots[b].contract : numbers[a] < numbers[b]
            }
        }
    }

    /// Ids of new slots told in one section, merged with those predicted, from `first` on. Calls back for each in order.
    func nameSlots(
        section: Int, told: ArraySlice<NewSlot>, first: Int, _ body: (NewSlot, _ isPredicted: Bool) -> Void
    ) -> Int {
        let (slots, numbers) = (runner.overlay.slots.base, runner.overlay.slotNumbers.base)
        var i = section == 0 ? 0 : predicted.slotEnds[section - 1]
        let end = section < predicted.slotEnds.count ? predicted.slotEnds[section] : i
        var j = told.startIndex
        var id = first
        while i < end || j < told.endIndex {
            var key: SlotKey?
            if i < end {
                let entry = Int(predicted.slots[i])
                key = SlotKey(account: AccountID(slots[entry].contract), slot: numbers[entry])
            }
            if let key, j == told.endIndex || key < told[j].key {
                runner.overlay.name(slot: Int(predicted.slots[i]), id: UInt32(truncatingIfNeeded: id))
                body(NewSlot(key: key), true)
                i += 1
            } else {
                let slot = told[j]
                if let entry = runner.overlay.slotEntry(
                    unknown: slot.key.slot, contract: slot.key.account.index),
                    slots[entry].id == PredictedSlot.unknown
                {
                    runner.overlay.name(slot: entry, id: UInt32(truncatingIfNeeded: id))
                }
                body(slot, false)
                j += 1
            }
            id += 1
        }
        return id
    }
}
