/// Where each model's cells lie in the bank. Spec 30.4.3 lists the same models; their places are of no consequence outside,
/// since every cell starts equal.

enum ModelMap {
    // MARK: Shapes

    /// A number below 2^31: its width by a tree of 5 bits, its second bit by width.
    static var shortNumberBits: Int { 5 }
    /// A number below 2^64: its width by a tree of 7 bits, its second bit by width.
    static var longNumberBits: Int { 7 }
    static func numberCells(_ treeBits: Int) -> Int { 2 << treeBits }

    // MARK: Sets of keys, one group of models per table (accounts 0, slots 1, contracts 2, keys of mappings 3, senders 4)

    static var gapBuckets: Int { 15 }
    static var gapUnary: Int { 8 }
    static var classCount: Int { 11 }

    static func gapUnary(_ table: Int) -> Int { table * setStride }
    static func gapTop(_ table: Int) -> Int { gapUnary(table) + gapBuckets * gapUnary }
    static func gapEscape(_ table: Int) -> Int { gapTop(table) + gapBuckets }
    static func classSize(_ table: Int) -> Int { gapEscape(table) + numberCells(longNumberBits) }
    static var setStride: Int {
        gapBuckets * gapUnary + gapBuckets + numberCells(longNumberBits)
            + classCount * numberCells(shortNumberBits)
    }

    // MARK: New keys and lists of ids

    static let destroyedGap = 5 * setStride
    static var newSlotAccountGap: Int { destroyedGap + numberCells(shortNumberBits) }
    /// By whether the slot before it is of the same account: is the distance below 2^64?
    static var newSlotIsNear: Int { newSlotAccountGap + numberCells(shortNumberBits) }
    static var newSlotDistance: Int { newSlotIsNear + 2 }
    static var newSlotRestart: Int { newSlotDistance + numberCells(longNumberBits) }
    static var newSlotChanged: Int { newSlotRestart + 1 }
    static var newAccountChanged: Int { newSlotChanged + 1 }

    // MARK: Magnitudes

    /// Width of a difference less one, a tree of 8 bits, by expected width; the last contexts serve fields and accounts.
    static var widthContexts: Int { 33 + 3 + 1 + WordFields.contextCount }
    static var width: Int { newAccountChanged + 1 }
    static func width(_ context: Int) -> Int { width + context * 256 }
    static func accountWidth(_ kind: Int) -> Int { width(33 + kind) }
    /// Of new values that are written whole.
    static var wholeWidth: Int { width(36) }
    static func fieldWidth(_ field: Int) -> Int { width(37 + field) }
    /// The bits below the leading one of magnitudes of up to 8 bits, by width and the bits before.
    static var smallMagnitude: Int { width(widthContexts) }
    /// Is the magnitude a multiple of 10^4? By context class: slots, fields, accounts.
    static var isRound: Int { smallMagnitude + 9 * 256 }
    static var zeroes: Int { isRound + 3 }

    // MARK: Slots

    static var operationContexts: Int { 256 }
    static var operation: Int { zeroes + 3 * 64 }
    static func operation(_ context: Int) -> Int { operation + context * 32 }
    static var fieldOperation: Int { operation(operationContexts) }
    static func fieldOperation(_ field: Int) -> Int { fieldOperation + field * 16 }

    static var hasTime: Int { fieldOperation(WordFields.contextCount) }
    static var time: Int { hasTime + 1 }

    // MARK: Account values

    static var nonceStep: Int { time + numberCells(longNumberBits) }
    static func nonceStep(_ context: Int) -> Int { nonceStep + context * 16 }
    static var nonceFar: Int { nonceStep(4) }
    static var codeChanged: Int { nonceFar + numberCells(longNumberBits) }
    static var codeIsNone: Int { codeChanged + 4 }
    static var codeBack: Int { codeIsNone + 1 }
    static var balanceOperation: Int { codeBack + numberCells(shortNumberBits) }
    static func balanceOperation(_ context: Int) -> Int { balanceOperation + context * 16 }
    /// Index of a gas amount among those seen in this window, a tree of 8 bits.
    static var gasIndex: Int { balanceOperation(8) }
    /// A gas amount written out: of one transaction 0, of several 1.
    static func gasAmount(_ several: Int) -> Int { gasIndex + 256 + several * numberCells(longNumberBits) }
    static var price: Int { gasAmount(2) }
    static var ownPrice: Int { price + numberCells(longNumberBits) }
    static var priceChanged: Int { ownPrice + numberCells(longNumberBits) }
    static var hasBalancer: Int { priceChanged + 1 }

    // MARK: Codes

    static var codeLength: Int { hasBalancer + 1 }
    static var codeCopies: Int { codeLength + numberCells(longNumberBits) }
    static var codeCopyLength: Int { codeCopies + 1 }

    // MARK: Slots by name

    static let namePlaces = codeCopyLength + numberCells(longNumberBits)
    static func nameContracts(_ list: Int) -> Int {
        namePlaces + (1 + list) * numberCells(shortNumberBits)
    }
    static var nameKind: Int { nameContracts(4) }
    static func nameCount(_ kind: Int) -> Int {
        nameKind + 2 * SlotNames.kindCount + kind * numberCells(shortNumberBits)
    }
    /// The first plain slot 0, the gap to the next 1.
    static func namePlain(_ next: Int) -> Int {
        nameCount(SlotNames.kindCount) + next * numberCells(shortNumberBits)
    }
    static var nameTables: Int { namePlain(2) }
    static var nameSwapped: Int { nameTables + numberCells(shortNumberBits) }
    static func nameBase(_ role: Int) -> Int { nameSwapped + 1 + role * 16 }
    static func nameEntries(_ list: Int) -> Int { nameBase(2) + list * numberCells(shortNumberBits) }
    static func nameKey(_ role: Int) -> Int { nameEntries(4) + role * 8 }
    static var nameNumber: Int { nameKey(4) }
    static var nameArrayBase: Int { nameNumber + numberCells(longNumberBits) }
    static var nameArrayIndex: Int { nameArrayBase + numberCells(shortNumberBits) }
    static var nameDistance: Int { nameArrayIndex + numberCells(longNumberBits) }

    /// What follows is for operations: OperationModels.swift.
    static let operationsStart = nameDistance + numberCells(shortNumberBits)
    static let count = operationsEnd
}
