/// What a frontier is asked over: cadences × losses × bursts × round trips, and how each run is made.

public import MillraceBase
public import MillraceLink
public import MillraceWorkload

public struct FrontierGrid: Sendable {
    /// A value of an axis as it was written and as a number; written, it goes into a link's text.
    public struct Value: Hashable, Sendable {
        public let text: String
        public let number: Double
    }

    public var workload: WorkloadSpec
    public private(set) var cadences: [Cadence] = [.c0]
    public private(set) var rttMs: [Value] = []
    public private(set) var loss: [Value] = []
    public private(set) var burst: [Value] = []
    /// The queue before the link's rate, as a link's text has it: 100ms, 65536.
    public private(set) var queue: String
    /// Seconds of stream per run, at least: of a coarser cadence it is `windowsMin` windows.
    public var seconds = 20
    static let windowsMin = 10
    public var resolution = 0.02
    public var parityCount = 4
    public var seed: UInt64 = 1
    /// A replica that stalls and comes back passes too.
    public var allowsStalls = false

    public static let cellsMax = 400
    /// The shares of loss at which a floor of R/(1−p) still means something.
    public static let lossMax = 0.5

    /// Lists are separated by commas; a value that no link could have is an error with one sentence.
    public init(
        workload: WorkloadSpec, rttMs: String, loss: String, burst: String, queue: String,
        cadence: String = "c0"
    ) throws(LinkTextError) {
        self.workload = workload
        cadences = try FrontierGrid.cadences(cadence)
        self.queue = queue
        _ = try FrontierGrid.link("queue", queue)
        self.rttMs = try FrontierGrid.values(rttMs, key: "rtt") { $0.delay.asMilliseconds * 2 }
        self.loss = try FrontierGrid.values(loss, key: "loss") { $0.loss.asDouble }
        self.burst = try FrontierGrid.values(burst, key: "burst") { Double($0.lossBurstThousandths) / 1_000 }
        if let high = self.loss.first(where: { $0.number > FrontierGrid.lossMax }) {
            throw LinkTextError(description: "loss \(high.text) is more than half: expected at most 0.5")
        }
        let cells = self.cadences.count * self.rttMs.count * self.loss.count * self.burst.count
        guard cells <= FrontierGrid.cellsMax else {
            throw LinkTextError(
                description:
                    "a grid of \(cells) cells is too large: expected at most \(FrontierGrid.cellsMax)")
        }
    }

    private static func link(_ key: String, _ value: String) throws(LinkTextError) -> LinkParameters {
        // A comma or an equals sign would make a value into another setting.
        if value.isEmpty || value.contains(",") || value.contains("=") {
            throw LinkTextError(description: "\"\(value)\" is not a value of \(key)")
        }
        do { return try LinkParameters(text: "\(key)=\(value)") } catch {
            // Without the words about a link that nobody wrote.
            let sentence = error.description
            guard let end = sentence.firstRange(of: "\": ") else { throw error }
            throw LinkTextError(description: String(sentence[end.upperBound...]))
        }
    }

    private static func values(
        _ list: String, key: String, _ number: (LinkParameters) -> Double
    ) throws(LinkTextError) -> [Value] {
        var values: [Value] = []
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            let text = String(part.filter { $0 != " " })
            let value = Value(text: text, number: number(try link(key, text)))
            guard !values.contains(where: { $0.number == value.number }) else {
                throw LinkTextError(description: "\(key) \(text) is listed twice")
            }
            values.append(value)
        }
        return values
    }

    private static func cadences(_ list: String) throws(LinkTextError) -> [Cadence] {
        var cadences: [Cadence] = []
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            let name = String(part.filter { $0 != " " })
            guard let cadence = Cadence(name: name) else {
                throw LinkTextError(description: "\"\(name)\" is no cadence: expected c0, c1, c2 or c3")
            }
            guard !cadences.contains(cadence) else {
                throw LinkTextError(description: "cadence \(name) is listed twice")
            }
            cadences.append(cadence)
        }
        return cadences
    }

    public var hasWindows: Bool { cadences.contains { $0 != .c0 } }

    func seconds(_ cadence: Cadence) -> Int {
        max(seconds, Int(cadence.span.milliseconds) * FrontierGrid.windowsMin / 1_000)
    }

    /// A replica's line at this place of the grid: the same settings both ways.
    func link(_ place: Place, bitsPerSecond: UInt64) -> String {
        let rate = JSON.number(Double(bitsPerSecond) / 1e6, decimals: 3).text()
        var text = "rate=\(rate),rtt=\(place.rtt.text)"
        if place.loss.number > 0 {
            text += ",loss=\(place.loss.text)"
            if place.burst.number > 1 { text += ",burst=\(place.burst.text)" }
        }
        return text + ",queue=\(queue)"
    }

    struct Place: Hashable, Sendable {
        var cadence: Cadence
        var rtt: Value
        var loss: Value
        var burst: Value
    }

    /// Every place, a panel for each cadence and burst: one after the other.
    var places: [Place] {
        panels.flatMap { panel in
            loss.flatMap { loss in
                rttMs.map { Place(cadence: panel.cadence, rtt: $0, loss: loss, burst: panel.burst) }
            }
        }
    }

    /// What stands together: losses down, round trips across.
    struct Panel {
        var cadence: Cadence
        var burst: Value

        /// Of one among others, for people.
        func title(_ grid: FrontierGrid) -> String {
            let losses = burst.number > 1 ? "losses in bursts of \(burst.text)" : "losses one by one"
            return grid.hasWindows
                ? "\(cadence), \(losses)" : losses.prefix(1).uppercased() + losses.dropFirst()
        }
    }

    var panels: [Panel] {
        cadences.flatMap { cadence in burst.map { Panel(cadence: cadence, burst: $0) } }
    }
}
