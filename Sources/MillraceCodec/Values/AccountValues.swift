/// The column of account values: nonce, code, balance of each changed account (Spec 30.6). A sender's nonce rises by the
/// number of its transactions and its balance falls by gas × price; what all pay in sum, one account receives. Each of
/// these is a guess with a symbol of its own beside the plain difference.

internal import MillraceBase
internal import MillraceDiff

enum BalanceOperation: Int {
    case same = 0
    case rise = 1
    case fall = 2
    /// Falls by a gas amount times the payload's price.
    case fee = 3
    case clear = 4
    /// What all other balances of the payload lost, this one gained; at most one account.
    case balancer = 5
    case referenceRise = 6
    case referenceFall = 7
    /// The new value itself, where that is shorter than the difference.
    case set = 8
    /// Falls by a known gas amount times a price of its own.
    case tip = 9
}

struct AccountValues: ~Copyable {
    private var references: References
    private var gas = GasAmounts()
    private var price: UInt64 = 0
    private var savedPrice: UInt64 = 0
    private var falls = Scratch<UInt64>(capacity: 1024)

    init(indexed: Bool) { references = References(indexed: indexed) }

    // MARK: Life cycle

    /// A 100 ms window begins.
    mutating func reset() {
        gas.removeAll()
        price = 0
    }

    mutating func save() {
        gas.save()
        savedPrice = price
    }

    mutating func restore() {
        gas.restore()
        price = savedPrice
    }

    private static func nonceContext(_ old: AccountValue) -> Int {
        (old.isAbsent ? 2 : 0) + (old.code == .none ? 0 : 1)
    }

    private static func balanceContext(_ old: AccountValue, step: UInt64) -> Int {
        Int(min(step, 2)) * 2 + (old.isAbsent ? 1 : 0)
    }

    // MARK: Encoder

    mutating func encode(
        _ changes: UnsafeBufferPointer<AccountChange>, codeCount: Int, to writer: inout ColumnWriter
    ) {
        references.removeAll()
        guard !changes.isEmpty else { return }
        let (balancer, nextPrice) = prepare(changes)
        writer.bit(balancer != nil, ModelMap.hasBalancer)
        writer.bit(nextPrice != price, ModelMap.priceChanged)
        if nextPrice != price {
            writer.number(nextPrice, treeBits: ModelMap.longNumberBits, ModelMap.price)
            price = nextPrice
        }
        for i in 0..<changes.count {
            let (old, new) = (changes[i].old, changes[i].new)
            let step = new.nonce &- old.nonce
            let context = AccountValues.nonceContext(old)
            writer.tree(Int(min(step, 15)), depth: 4, ModelMap.nonceStep(context))
            if step >= 15 { writer.number(step, treeBits: ModelMap.longNumberBits, ModelMap.nonceFar) }
            writer.bit(old.code != new.code, ModelMap.codeChanged + context)
            if old.code != new.code {
                writer.bit(new.code == .none, ModelMap.codeIsNone)
                if new.code != .none {
                    writer.number(
                        UInt64(codeCount - Int(new.code.index)), treeBits: ModelMap.shortNumberBits,
                        ModelMap.codeBack)
                }
            }
            let symbols = ModelMap.balanceOperation(AccountValues.balanceContext(old, step: step))
            if i == balancer {
                writer.tree(BalanceOperation.balancer.rawValue, depth: 4, symbols)
            } else {
                encodeBalance(old.balance, new.balance, step: step, symbols: symbols, to: &writer)
            }
        }
    }

    /// Finds the price, and the account whose balance takes up what all others gave, if the payload conserves its sum.
    private mutating func prepare(_ changes: UnsafeBufferPointer<AccountChange>) -> (
        balancer: Int?, price: UInt64
    ) {
        falls.ensure(changes.count)
        var fallCount = 0
        var sum = U256.zero
        var widest = 0
        var widestRise = U256.zero
        for i in 0..<changes.count {
            let (old, new) = (changes[i].old, changes[i].new)
            let rise = new.balance &- old.balance
            sum = sum &+ rise
            if old.balance < new.balance {
                if widestRise < rise { (widest, widestRise) = (i, rise) }
            } else if new.nonce == old.nonce &+ 1, let fall = (old.balance &- new.balance).asUInt64, fall != 0
            {
                falls.base[fallCount] = fall
                fallCount += 1
            }
        }
        let price = GasPrice.find(UnsafeBufferPointer(start: falls.base, count: fallCount), current: price)
        return (sum.isZero && !widestRise.isZero ? widest : nil, price)
    }

    private mutating func encodeBalance(
        _ old: U256, _ new: U256, step: UInt64, symbols: Int, to writer: inout ColumnWriter
    ) {
        if old == new {
            writer.tree(BalanceOperation.same.rawValue, depth: 4, symbols)
            return
        }
        let rises = old < new
        let magnitude = rises ? new &- old : old &- new
        if new.isZero {
            writer.tree(BalanceOperation.clear.rawValue, depth: 4, symbols)
            if magnitude.bitWidth >= References.widthMin { references.insert(magnitude) }
            return
        }
        if !rises, step != 0, price != 0, let fall = magnitude.asUInt64 {
            let (amount, rest) = fall.quotientAndRemainder(dividingBy: price)
            if rest == 0 {
                writer.tree(BalanceOperation.fee.rawValue, depth: 4, symbols)
                encodeGas(amount, single: step == 1, to: &writer)
                return
            }
            if step == 1, let number = gas.divisor(of: fall, near: price) {
                writer.tree(BalanceOperation.tip.rawValue, depth: 4, symbols)
                writer.tree(number, depth: 8, ModelMap.gasIndex)
                writer.number(fall / gas[number], treeBits: ModelMap.longNumberBits, ModelMap.ownPrice)
                return
            }
        }
        if magnitude.bitWidth >= References.widthMin, let number = references.number(magnitude) {
            writer.tree(
                (rises ? BalanceOperation.referenceRise : .referenceFall).rawValue, depth: 4, symbols)
            writer.uniform(number, below: references.count)
            return
        }
        if new.bitWidth + 4 < magnitude.bitWidth {
            writer.tree(BalanceOperation.set.rawValue, depth: 4, symbols)
            writer.magnitude(new, width: ModelMap.accountWidth(0), roundness: 2)
            return
        }
        writer.tree((rises ? BalanceOperation.rise : .fall).rawValue, depth: 4, symbols)
        writer.magnitude(magnitude, width: ModelMap.accountWidth(rises ? 1 : 2), roundness: 2)
        if magnitude.bitWidth >= References.widthMin { references.insert(magnitude) }
    }

    private mutating func encodeGas(_ amount: UInt64, single: Bool, to writer: inout ColumnWriter) {
        guard single else {
            writer.number(amount, treeBits: ModelMap.longNumberBits, ModelMap.gasAmount(1))
            return
        }
        if let number = gas.number(of: amount) {
            writer.tree(number, depth: 8, ModelMap.gasIndex)
        } else {
            writer.tree(GasAmounts.isNew, depth: 8, ModelMap.gasIndex)
            writer.number(amount, treeBits: ModelMap.longNumberBits, ModelMap.gasAmount(0))
            gas.insert(amount)
        }
    }

    // MARK: Decoder

    /// Fills in the new values; the old ones are there.
    mutating func decode(
        into changes: UnsafeMutableBufferPointer<AccountChange>, codeCount: Int,
        from reader: inout ColumnReader
    ) throws(CodecError) {
        references.removeAll()
        guard !changes.isEmpty else { return }
        let hasBalancer = reader.bit(ModelMap.hasBalancer)
        if reader.bit(ModelMap.priceChanged) {
            price = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.price)
        }
        var sum = U256.zero
        var balancer: Int?
        for i in 0..<changes.count {
            let old = changes[i].old
            let context = AccountValues.nonceContext(old)
            var step = UInt64(reader.tree(depth: 4, ModelMap.nonceStep(context)))
            if step == 15 { step = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.nonceFar) }
            changes[i].new.nonce = old.nonce &+ step
            if reader.bit(ModelMap.codeChanged + context) {
                if reader.bit(ModelMap.codeIsNone) {
                    changes[i].new.code = .none
                } else {
                    let back = reader.number(treeBits: ModelMap.shortNumberBits, ModelMap.codeBack)
                    guard back < UInt64(codeCount) else { throw .badValue }
                    changes[i].new.code = CodeID(UInt32(truncatingIfNeeded: codeCount - Int(back)))
                }
                if changes[i].new.code == old.code { throw .badValue }
            }
            let symbols = ModelMap.balanceOperation(AccountValues.balanceContext(old, step: step))
            let operation = BalanceOperation(rawValue: reader.tree(depth: 4, symbols))
            if operation == .balancer {
                guard hasBalancer, balancer == nil else { throw .badValue }
                balancer = i
                continue
            }
            let balance = try decodeBalance(operation, old.balance, step: step, from: &reader)
            changes[i].new.balance = balance
            sum = sum &+ (balance &- old.balance)
            if changes[i].new == old { throw .badValue }
            if i & 1023 == 1023, reader.isOverrun { throw .truncated }
        }
        guard (balancer != nil) == hasBalancer else { throw .badValue }
        if let balancer {
            changes[balancer].new.balance = changes[balancer].old.balance &- sum
            if changes[balancer].new == changes[balancer].old { throw .badValue }
        }
    }

    private mutating func decodeBalance(
        _ operation: BalanceOperation?, _ old: U256, step: UInt64, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        switch operation {
        case .same:
            return old
        case .rise:
            return try raise(old, try literal(1, from: &reader))
        case .fall:
            return try lower(old, try literal(2, from: &reader))
        case .fee:
            let amount = try decodeGas(single: step == 1, from: &reader)
            return try lower(old, U256(wide: UInt128(amount) &* UInt128(price)))
        case .tip:
            let number = reader.tree(depth: 8, ModelMap.gasIndex)
            guard number < gas.count else { throw .badValue }
            let own = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.ownPrice)
            return try lower(old, U256(wide: UInt128(gas[number]) &* UInt128(own)))
        case .clear:
            if old.isZero { throw .badValue }
            if old.bitWidth >= References.widthMin { references.insert(old) }
            return .zero
        case .referenceRise, .referenceFall:
            let count = references.count
            if count == 0 { throw .badValue }
            let magnitude = references.magnitude(reader.uniform(below: count))
            return operation == .referenceRise ? try raise(old, magnitude) : try lower(old, magnitude)
        case .set:
            guard let value = reader.magnitude(width: ModelMap.accountWidth(0), roundness: 2) else {
                throw .badValue
            }
            return value
        case .balancer, nil:
            throw .badValue
        }
    }

    private mutating func literal(_ kind: Int, from reader: inout ColumnReader) throws(CodecError) -> U256 {
        guard let magnitude = reader.magnitude(width: ModelMap.accountWidth(kind), roundness: 2)
        else { throw .badValue }
        if magnitude.bitWidth >= References.widthMin { references.insert(magnitude) }
        return magnitude
    }

    private mutating func decodeGas(single: Bool, from reader: inout ColumnReader) throws(CodecError)
        -> UInt64
    {
        guard single else { return reader.number(treeBits: ModelMap.longNumberBits, ModelMap.gasAmount(1)) }
        let number = reader.tree(depth: 8, ModelMap.gasIndex)
        if number < gas.count { return gas[number] }
        guard number == GasAmounts.isNew else { throw .badValue }
        let amount = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.gasAmount(0))
        gas.insert(amount)
        return amount
    }

    private func raise(_ old: U256, _ magnitude: U256) throws(CodecError) -> U256 {
        let (sum, over) = old.addingReportingOverflow(magnitude)
        if over { throw .badValue }
        return sum
    }

    private func lower(_ old: U256, _ magnitude: U256) throws(CodecError) -> U256 {
        let (rest, under) = old.subtractingReportingOverflow(magnitude)
        if under { throw .badValue }
        return rest
    }
}
