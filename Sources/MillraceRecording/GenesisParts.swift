/// Cuts a large genesis diff into diffs of at most 64 Ki cells, in id order: codes and accounts first, slots after them,
/// because a slot's account must be known before it, facts last, because they name accounts. The parts, applied one after
/// another, give the same ids and values. Operations, which no genesis has, are left out.

import MillraceDiff

enum GenesisParts {
    static func split(_ diff: StateDiff, accounts: UInt64, slots: UInt64) throws(RecordingError)
        -> [StateDiff]
    {
        guard diff.destroyed.isEmpty else {
            throw RecordingError(.invalid, "a genesis diff destroys nothing")
        }

        var parts: [StateDiff] = []
        var part = StateDiff()
        var codeBytes = 0
        part.kind = .genesis
        func closed() -> StateDiff {
            let done = part
            part = StateDiff()
            part.kind = .genesis
            codeBytes = 0
            return done
        }

        for code in diff.newCodes {
            if codeBytes + code.count > RecordingLimits.codeBytesPerGenesisDiff, codeBytes > 0 {
                parts.append(closed())
            }
            part.newCodes.append(code)
            codeBytes += code.count
        }
        let cells = RecordingLimits.cellsPerGenesisDiff
        // Changes of cells that an earlier genesis diff introduced come first: their ids are lower.
        var nextChange =
            diff.accountChanges.firstIndex { UInt64($0.id.index) >= accounts } ?? diff.accountChanges.count
        part.accountChanges.append(contentsOf: diff.accountChanges[..<nextChange])
        for (i, address) in diff.newAccounts.enumerated() {
            if part.newAccounts.count >= cells { parts.append(closed()) }
            part.newAccounts.append(address)
            while nextChange < diff.accountChanges.count,
                UInt64(diff.accountChanges[nextChange].id.index) <= accounts + UInt64(i)
            {
                part.accountChanges.append(diff.accountChanges[nextChange])
                nextChange += 1
            }
        }
        guard nextChange == diff.accountChanges.count else {
            throw RecordingError(.invalid, "a genesis diff changes an account that it does not introduce")
        }
        nextChange = diff.slotChanges.firstIndex { UInt64($0.id.index) >= slots } ?? diff.slotChanges.count
        part.slotChanges.append(contentsOf: diff.slotChanges[..<nextChange])
        for (i, slot) in diff.newSlots.enumerated() {
            if part.newSlots.count + part.newAccounts.count >= cells { parts.append(closed()) }
            part.newSlots.append(slot)
            while nextChange < diff.slotChanges.count,
                UInt64(diff.slotChanges[nextChange].id.index) <= slots + UInt64(i)
            {
                part.slotChanges.append(diff.slotChanges[nextChange])
                nextChange += 1
            }
        }
        guard nextChange == diff.slotChanges.count else {
            throw RecordingError(.invalid, "a genesis diff changes a slot that it does not introduce")
        }
        for fact in diff.newFacts {
            if part.newFacts.count >= cells { parts.append(closed()) }
            part.newFacts.append(fact)
        }
        if !part.isEmpty || !part.newFacts.isEmpty { parts.append(part) }
        return parts
    }
}
