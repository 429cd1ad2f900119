/// The models that operations are coded with, behind the others in the bank. Spec 30.12.
///
/// Some places are stored, so that an unoptimised build does not add up all that stand before at each bit.

extension ModelMap {
    // MARK: Sections

    static var timestampSame: Int { operationsStart }
    static var coinbaseSame: Int { timestampSame + 1 }
    static var coinbaseNone: Int { timestampSame + 2 }
    static var baseFeeSame: Int { timestampSame + 3 }
    static var timestampStep: Int { timestampSame + 4 }
    static var baseFee: Int { timestampStep + numberCells(longNumberBits) }

    // MARK: Facts

    static var factMore: Int { baseFee + numberCells(longNumberBits) }
    static var factKind: Int { factMore + 1 }
    static var factFlag: Int { factKind + 8 }
    static var factIsNear: Int { factFlag + 1 }
    static var factNear: Int { factIsNear + 1 }
    static var factContract: Int { factNear + numberCells(longNumberBits) }
    static var factToken: Int { factContract + 64 }
    static var factKept: Int { factToken + 64 }

    // MARK: Naming

    static var popularityClasses: Int { 64 }
    /// Senders of a class: how many, and how many transactions each sent beyond one.
    static let senderCount = factKept + numberCells(shortNumberBits)
    static func senderCount(_ c: Int) -> Int { senderCount + c * numberCells(shortNumberBits) }
    static var senderRepeats: Int { senderCount(popularityClasses) }
    static func senderRepeats(_ c: Int) -> Int { senderRepeats + c * numberCells(shortNumberBits) }
    /// Parties by what they are wanted for: ether, transfer, swap, other.
    static var party: Int { senderRepeats(popularityClasses) }
    static func party(_ use: Int) -> Int { party + use * 64 }
    static var pool: Int { party(5) }
    static func pool(_ first: Bool) -> Int { pool + (first ? 0 : 64) }
    static var token: Int { pool + 128 }
    static func token(_ use: Int) -> Int { token + use * 64 }

    // MARK: Actions

    /// By the kind of the action before; 7 for the first.
    static let actionKind = token(4)
    static func actionKind(_ before: Int) -> Int { actionKind + before * 8 }
    static var zeroForOne: Int { actionKind(8) }
    static var isChained: Int { zeroForOne + 1 }
    static var isByFormula: Int { isChained + 1 }
    static var payerIsSender: Int { isByFormula + 1 }
    static var payeeIsSender: Int { payerIsSender + 8 }
    static var hasSpender: Int { payeeIsSender + 8 }
    static var spenderSame: Int { hasSpender + 8 }
    static var spender: Int { spenderSame + 1 }
    static var amountContexts: Int { 2 + 33 * 2 }
    static let amount = spender + 64
    static func amount(_ context: Int) -> Int { amount + context * 256 }
    /// The bits below the leading one.
    static var amountTop: Int { amount(amountContexts) }
    /// Is it the amount of the action before in the transaction? By kind.
    static var amountSame: Int { amountTop + amountContexts * 4 }

    // MARK: Gas and price

    static let gasHit = amountSame + 8
    static var gasIsByte: Int { gasHit + 2 }
    static var gasBytes: Int { gasIsByte + 1 }
    static var gasNear: Int { gasBytes + numberCells(longNumberBits) }
    static var gasFar: Int { gasNear + numberCells(longNumberBits) }
    static var priceListed: Int { gasFar + numberCells(longNumberBits) }
    static var priceIsTip: Int { priceListed + 16 }
    static var priceIsZero: Int { priceIsTip + 1 }
    static var priceWidth: Int { priceIsZero + 1 }
    static func priceWidth(_ isTip: Bool) -> Int { priceWidth + (isTip ? 256 : 0) }

    // MARK: Checks on predictions

    static let predictedSlotExists = priceWidth + 512
    static var predictedAccountExists: Int { predictedSlotExists + 1 }
    static var predictedSlotPatched: Int { predictedAccountExists + 1 }
    static var predictedAccountPatched: Int { predictedSlotPatched + 1 }
    static var hasOperations: Int { predictedAccountPatched + 1 }
    static var newAccountCount: Int { hasOperations + 1 }
    static var newSlotCount: Int { newAccountCount + numberCells(shortNumberBits) }

    static var operationsEnd: Int { newSlotCount + numberCells(shortNumberBits) }
}
