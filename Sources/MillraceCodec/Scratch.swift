/// Working memory of the coding passes: trivial elements, grown to the largest mini-block so far and kept, so that the
/// steady state allocates nothing. Contents are not kept when it grows through `ensure`.

struct Scratch<Element: BitwiseCopyable>: ~Copyable {
    private(set) var base: UnsafeMutablePointer<Element>
    private(set) var capacity: Int

    init(capacity: Int = 256) {
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    /// Room for `count` elements; what was here is lost if that takes new memory.
    mutating func ensure(_ count: Int) {
        guard count > capacity else { return }
        base.deallocate()
        capacity = max(count, capacity * 2)
        base = .allocate(capacity: capacity)
    }

    /// Room for `count` elements, the first `kept` of which stay.
    mutating func grow(to count: Int, keeping kept: Int) {
        guard count > capacity else { return }
        let wider = max(count, capacity * 2)
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: wider)
        larger.update(from: base, count: kept)
        base.deallocate()
        base = larger
        capacity = wider
    }
}

/// Sorts numbers ascending: radix by 11 bits, skipping digits that are all equal; by insertion below 48. `other` is as
/// large. Deterministic and free of allocation but for the histogram on the stack.
func sortAscending(
    _ numbers: UnsafeMutablePointer<UInt32>, count: Int, other: UnsafeMutablePointer<UInt32>
) {
    if count < 48 {
        var i = 1
        while i < count {
            let number = numbers[i]
            var j = i
            while j > 0, numbers[j &- 1] > number {
                numbers[j] = numbers[j &- 1]
                j &-= 1
            }
            numbers[j] = number
            i &+= 1
        }
        return
    }
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 3 * 2048) { histogram in
        guard let histogram = histogram.baseAddress else { return }
        histogram.initialize(repeating: 0, count: 3 * 2048)
        for i in 0..<count {
            let number = Int(numbers[i])
            histogram[number & 2047] &+= 1
            histogram[2048 &+ (number >> 11) & 2047] &+= 1
            histogram[4096 &+ number >> 22] &+= 1
        }
        var (from, to) = (numbers, other)
        for pass in 0..<3 {
            let counts = histogram + pass * 2048
            let shift = pass * 11
            if counts[Int(from[0]) >> shift & 2047] == count { continue }
            var sum = 0
            for digit in 0..<2048 {
                let size = counts[digit]
                counts[digit] = sum
                sum &+= size
            }
            for i in 0..<count {
                let number = from[i]
                let digit = Int(number) >> shift & 2047
                to[counts[digit]] = number
                counts[digit] &+= 1
            }
            swap(&from, &to)
        }
        if from != numbers { numbers.update(from: from, count: count) }
    }
}

/// Sorts by the upper 32 bits, ascending and stable: radix by 11 bits, skipping digits that are all equal; by insertion
/// below 48. `other` is as large.
func sortByUpperHalf(
    _ numbers: UnsafeMutablePointer<UInt64>, count: Int, other: UnsafeMutablePointer<UInt64>
) {
    if count < 48 {
        var i = 1
        while i < count {
            let number = numbers[i]
            var j = i
            while j > 0, numbers[j &- 1] >> 32 > number >> 32 {
                numbers[j] = numbers[j &- 1]
                j &-= 1
            }
            numbers[j] = number
            i &+= 1
        }
        return
    }
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 3 * 2048) { histogram in
        guard let histogram = histogram.baseAddress else { return }
        histogram.initialize(repeating: 0, count: 3 * 2048)
        for i in 0..<count {
            let number = Int(truncatingIfNeeded: numbers[i] >> 32)
            histogram[number & 2047] &+= 1
            histogram[2048 &+ (number >> 11) & 2047] &+= 1
            histogram[4096 &+ number >> 22] &+= 1
        }
        var (from, to) = (numbers, other)
        for pass in 0..<3 {
            let counts = histogram + pass * 2048
            let shift = UInt64(32 + pass * 11)
            if counts[Int(truncatingIfNeeded: from[0] >> shift) & 2047] == count { continue }
            var sum = 0
            for digit in 0..<2048 {
                let size = counts[digit]
                counts[digit] = sum
                sum &+= size
            }
            for i in 0..<count {
                let number = from[i]
                let digit = Int(truncatingIfNeeded: number >> shift) & 2047
                to[counts[digit]] = number
                counts[digit] &+= 1
            }
            swap(&from, &to)
        }
        if from != numbers { numbers.update(from: from, count: count) }
    }
}
