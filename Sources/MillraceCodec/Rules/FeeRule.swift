/// Every transaction raises its sender's nonce and costs it gas × price; the coinbase gets what is above the base fee.
/// Spec 30.13.6.

internal import MillraceBase
internal import MillraceDiff

extension OperationRunner {
    @inline(__always)
    func chargeFee(_ transaction: Transaction, coinbase: Int?, baseFee: UInt64, base: State) {
        let sender = account(Party(transaction.sender), UnsafeBufferPointer(start: nil, count: 0), base: base)
        let accounts = overlay.accounts.base
        accounts[sender].value.nonce &+= 1
        let fee = transaction.gas.multipliedFullWidth(by: transaction.price)
        accounts[sender].value.balance = accounts[sender].value.balance &- U256(fee.low, fee.high, 0, 0)
        guard let coinbase, transaction.price > baseFee else { return }
        let tip = transaction.gas.multipliedFullWidth(by: transaction.price &- baseFee)
        accounts[coinbase].value.balance = accounts[coinbase].value.balance &+ U256(tip.low, tip.high, 0, 0)
    }
}
