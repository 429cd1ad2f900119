/// Gas and price of each transaction, after its actions have run: gas is remembered by the branches taken, less what call
/// data costs; prices that recur are listed. Spec 30.12.8.

internal import MillraceBase
internal import MillraceDiff

extension Codec {
    func codeFees<C: ColumnCoder & ~Copyable>(
        _ section: Section, of diff: inout StateDiff, at cursor: SectionCursor, base: State, _ coder: inout C
    ) throws(CodecError) {
        let none = UnsafeBufferPointer<Address>(start: nil, count: 0)
        let coinbase =
            section.coinbase.index == .max
            ? nil : runner.account(Party(section.coinbase), none, base: base)
        var action = 0
        for i in 0..<Int(section.transactions) {
            var transaction = diff.operations.transactions[cursor.transactions + i]
            var signature: UInt64 = 0
            var nonzeroBytes = 0
            for _ in 0..<Int(transaction.actionCount) {
                let traits = runner.traits.base[action]
                signature = (signature ^ traits.branches) &* 0xFF51_AFD7_ED55_8CCD
                signature ^= signature >> 32
                nonzeroBytes &+= traits.nonzeroBytes
                action &+= 1
            }
            transaction.gas = codeGas(transaction.gas, signature, nonzeroBytes: nonzeroBytes, &coder)
            charge(.gas, coder)
            transaction.price = try codePrice(transaction.price, baseFee: section.baseFee, &coder)
            charge(.prices, coder)
            if C.isReader { diff.operations.transactions[cursor.transactions + i] = transaction }
            runner.chargeFee(transaction, coinbase: coinbase, baseFee: section.baseFee, base: base)
        }
    }

    private func codeGas<C: ColumnCoder & ~Copyable>(
        _ gas: UInt64, _ signature: UInt64, nonzeroBytes: Int, _ coder: inout C
    ) -> UInt64 {
        let data = UInt64(nonzeroBytes) &* OperationMemory.gasPerNonzeroByte
        let coded: UInt64
        if let known = memory.expectedGas(signature) {
            let expected = known &+ data
            if coder.code(bit: gas == expected, ModelMap.gasHit) {
                coded = expected
            } else {
                let step = zigzag(gas &- expected)
                let unit = OperationMemory.gasPerNonzeroByte
                let distance = gas &- expected
                let signed = Int64(bitPattern: distance)
                if coder.code(bit: signed % Int64(unit) == 0, ModelMap.gasIsByte) {
                    let bytes = coder.code(
                        number: zigzag(UInt64(bitPattern: signed / Int64(unit))),
                        treeBits: ModelMap.longNumberBits,
                        ModelMap.gasBytes)
                    coded = expected &+ unzigzag(bytes) &* unit
                } else {
                    coded =
                        expected
                        &+ unzigzag(
                            coder.code(
                                number: step, treeBits: ModelMap.longNumberBits, ModelMap.gasNear))
                }
            }
        } else {
            coded = coder.code(number: gas, treeBits: ModelMap.longNumberBits, ModelMap.gasFar)
        }
        memory.noteGas(signature, coded &- data)
        return coded
    }

    private func zigzag(_ difference: UInt64) -> UInt64 {
        difference << 1 ^ UInt64(bitPattern: Int64(bitPattern: difference) >> 63)
    }

    private func unzigzag(_ number: UInt64) -> UInt64 { number >> 1 ^ (0 &- (number & 1)) }

    private func codePrice<C: ColumnCoder & ~Copyable>(
        _ price: UInt64, baseFee: UInt64, _ coder: inout C
    ) throws(CodecError) -> UInt64 {
        let tip = price &- baseFee
        let index = coder.code(
            symbol: C.isReader ? 0 : memory.priceIndex(tip), depth: 4, ModelMap.priceListed)
        if index < OperationMemory.pricesMax {
            guard let listed = memory.price(at: index) else { throw .badOperation }
            memory.usePrice(at: index)
            return listed &+ baseFee
        }
        var value = price
        // The rounder of the two is what the sender chose.
        let isTip = coder.code(
            bit: !C.isReader && baseFee != 0 && decimalZeroes(tip) > decimalZeroes(price), ModelMap.priceIsTip
        )
        if isTip { value = tip }
        if coder.code(bit: value == 0, ModelMap.priceIsZero) {
            value = 0
        } else {
            let coded = try coder.code(
                magnitude: U256(value), width: ModelMap.priceWidth(isTip), roundness: 2)
            guard let number = coded.asUInt64 else { throw .badOperation }
            value = number
        }
        let coded = isTip ? value &+ baseFee : value
        memory.listPrice(coded &- baseFee)
        return coded
    }

    private func decimalZeroes(_ number: UInt64) -> Int {
        var (zeroes, rest) = (0, number)
        while rest != 0, rest % 10 == 0 {
            zeroes += 1
            rest /= 10
        }
        return zeroes
    }
}
