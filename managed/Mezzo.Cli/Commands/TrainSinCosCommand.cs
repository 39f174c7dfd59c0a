// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.Globalization;
using System.Text;
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs;
using Mezzo.Cli.Jobs.SinCos;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.Commands;

/// <summary><c>mezzo train sincos</c>: the sin/cos comparison, from data to report.</summary>
internal sealed class TrainSinCosCommand
{
    private const int MaxSamples = 100_000_000;
    private const int MaxEpochs = 10_000_000;
    private const int MaxHidden = 1_000_000;
    private static readonly SinCosOptions Defaults = new();

    private static readonly Dictionary<string, SinCosPrecision> PrecisionNames = new()
    {
        ["fp32"] = SinCosPrecision.Float32,
        ["bf16"] = SinCosPrecision.BFloat16,
        ["fp16"] = SinCosPrecision.Float16,
        ["compare"] = SinCosPrecision.Compare,
    };

    private static readonly Dictionary<string, CaptureMode> CaptureNames = new()
    {
        ["auto"] = CaptureMode.Auto,
        ["on"] = CaptureMode.On,
        ["off"] = CaptureMode.Off,
    };

    private readonly TerminalOutput _terminal;

    private readonly Option<string> _precision = Options.OneOf(
        "--precision",
        "Precision to train in; compare trains in fp32 and then in the device's fast 16-bit type",
        PrecisionNames.Keys,
        "compare");

    private readonly Option<int?> _epochs = Options.Whole("--epochs", "Passes over the data", 1, MaxEpochs, Defaults.Epochs);
    private readonly Option<int?> _samples = Options.Whole("--samples", "Points of data", 1, MaxSamples, Defaults.Samples);
    private readonly Option<int?> _hidden = Options.Whole("--hidden", "Width of the network", 1, MaxHidden, Defaults.Hidden);
    private readonly Option<double> _learningRate = Options.Value<double>(
        "--lr", "Learning rate of Adam", "X", "a number above 0", TryParsePositive, Defaults.LearningRate);

    private readonly Option<ulong> _seed = Options.Value<ulong>(
        "--seed", "Seed of the data and the initial parameters", "N", $"a whole number from 0 to {ulong.MaxValue}", TryParseSeed, Defaults.Seed);

    private readonly Option<double?> _lossScale = Options.Value<double?>(
        "--loss-scale",
        "Loss scale of 16-bit runs: 0 is dynamic, a power of two is static [default: dynamic in fp16, none in bf16]",
        "SCALE",
        "0 (dynamic) or a power of two from 2^-126 to 2^127 (static)",
        TryParseLossScale,
        null);

    private readonly Option<string?> _scaler = Options.OneOfOrNone(
        "--scaler",
        "Library whose rules the dynamic loss scale of 16-bit runs follows [default: torch in fp16, none in bf16]",
        [.. ScalerPolicy.Dynamic.Select(policy => policy.Name)]);

    private readonly Option<string> _capture = Options.OneOf(
        "--capture", "Capture the training step in a graph and launch it; auto does on cuda", CaptureNames.Keys, "auto");

    private readonly Option<string> _out = Options.Value<string>(
        "--out", "Folder for report.html", "DIR", "a folder", TryParsePath, "sincos-report");

    private readonly Option<string?> _json = Options.Value<string?>(
        "--json", "File for the measurements as JSON", "FILE", "a file", TryParsePath!, null);

    private readonly Option<bool> _quiet = new("--quiet") { Description = "Print only the table at the end" };
    private readonly DeviceOptions _device = new();

    private TrainSinCosCommand(TerminalOutput terminal) => _terminal = terminal;

    public static Command Create(TerminalOutput terminal, CancellationToken cancellationToken)
    {
        var options = new TrainSinCosCommand(terminal);
        var command = new Command("sincos", "Learns sine and cosine in fp32 and in a 16-bit type, and reports time, loss and memory.")
        {
            options._precision, options._epochs, options._samples, options._hidden, options._learningRate, options._seed, options._lossScale,
            options._scaler,
        };
        options._device.AddTo(command);
        command.Add(options._capture);
        command.Add(options._out);
        command.Add(options._json);
        command.Add(options._quiet);
        command.SetAction(result => options.Run(result, cancellationToken));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        var options = Read(parsed);
        var report = OutputFile.Prepare("--out", Path.Combine(parsed.GetValue(_out)!, "report.html"));
        var json = parsed.GetValue(_json) is { } file ? OutputFile.Prepare("--json", file) : null;
        var environment = JobEnvironment.Capture(CommandText(parsed), options.Device);

        bool isQuiet = parsed.GetValue(_quiet);
        if (!isQuiet && _device.WhyCpu(parsed, options.Device) is { } reason)
        {
            _terminal.Output.WriteLine(reason);
        }

        var result = TrainingView.Show(
            _terminal, isQuiet, view => new SinCosJob(options, view).Run(cancellationToken));

        json?.Write(stream => SinCosJson.Write(stream, result));
        report.Write(stream => stream.Write(Encoding.UTF8.GetBytes(SinCosReport.Render(result, environment))));
        Print(result, environment, report.Path);
        return result.Interrupted ? ExitCode.Interrupted : ExitCode.Success;
    }

    private SinCosOptions Read(ParseResult parsed)
    {
        var options = new SinCosOptions
        {
            Precision = PrecisionNames[parsed.GetValue(_precision)!],
            Epochs = parsed.GetValue(_epochs)!.Value,
            Samples = parsed.GetValue(_samples)!.Value,
            Hidden = parsed.GetValue(_hidden)!.Value,
            LearningRate = parsed.GetValue(_learningRate),
            Seed = parsed.GetValue(_seed),
            LossScale = parsed.GetValue(_lossScale),
            Scaler = ScalerPolicy.Dynamic.FirstOrDefault(policy => policy.Name == parsed.GetValue(_scaler)),
            Capture = CaptureNames[parsed.GetValue(_capture)!],
            Device = _device.Apply(parsed),
        };
        return options switch
        {
            { Precision: SinCosPrecision.Float32, LossScale: not null } => throw HasNoScale("--loss-scale"),
            { Precision: SinCosPrecision.Float32, Scaler: not null } => throw HasNoScale("--scaler"),
            { LossScale: > 0, Scaler: not null } => throw new CommandException("--scaler: got a static --loss-scale too, expected --loss-scale 0 (dynamic) or none"),
            _ => options,
        };

        static CommandException HasNoScale(string option) =>
            new($"{option}: got --precision fp32, which has no loss scale, expected bf16, fp16 or compare");
    }

    private void Print(SinCosResult result, JobEnvironment environment, string report)
    {
        _terminal.Output.WriteLine();
        foreach (string line in SinCosSummary.Table(result, environment).Lines())
        {
            _terminal.Output.WriteLine(line);
        }

        _terminal.Output.WriteLine();
        if (result.Interrupted)
        {
            _terminal.Output.WriteLine("Interrupted: the table and the report hold what was measured until then.");
        }

        _terminal.Output.WriteLine($"report: {report}");
        foreach (string warning in SinCosSummary.Warnings(result))
        {
            _terminal.Error.WriteLine(warning);
        }
    }

    private static string CommandText(ParseResult parsed) =>
        "mezzo " + string.Join(' ', parsed.Tokens.Select(token => token.Value.Any(char.IsWhiteSpace) ? $"\"{token.Value}\"" : token.Value));

    private static bool TryParsePositive(string text, out double value) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value) && value > 0;

    private static bool TryParseSeed(string text, out ulong value) =>
        ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);

    private static bool TryParseLossScale(string text, out double? value)
    {
        bool isNumber = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double scale);
        value = scale;
        return isNumber && (scale == 0 || (double.IsPow2(scale) && float.IsNormal((float)scale)));
    }

    private static bool TryParsePath(string text, out string value)
    {
        value = text;
        return text.Length > 0;
    }
}
