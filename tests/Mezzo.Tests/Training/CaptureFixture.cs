// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>Trains with captured steps and without, and says what came of it.</summary>
internal abstract class CaptureFixture : TensorFixture
{
    protected const int Steps = 50;

    /// <summary>The same, op by op and captured, from the same seed.</summary>
    protected static T[] OfBoth<T>(Converter<CaptureMode, T> run) => Array.ConvertAll([CaptureMode.Off, CaptureMode.On], mode =>
    {
        RandomSource.SetDefaultSeed(3);
        return run(mode);
    });

    protected static TrainerOptions Options(
        CaptureMode mode, Precision precision = Precision.Float32, RecordingLogger? log = null, GradScaler? scaler = null) => new()
        {
            Capture = mode,
            Precision = precision,
            Logger = log ?? new RecordingLogger(),
            LogEvery = 0,
            Scaler = scaler,
        };

    /// <summary>A scaler that overflows, backs off and grows several times in a short run of any precision.</summary>
    protected static GradScaler RestlessScaler(Precision precision) =>
        new(initScale: precision == Precision.Float16 ? Math.Pow(2, 18) : Math.Pow(2, 127), growthInterval: 3);

    protected static Run Train(
        CaptureMode mode, Precision precision, LineStudy study, Action<int, Trainer>? between = null) =>
        Train(mode, precision, study, RestlessScaler(precision), between);

    protected static Run Train(
        CaptureMode mode, Precision precision, LineStudy study, GradScaler? scaler, Action<int, Trainer>? between = null)
    {
        using var trainer = study.Trainer(Options(mode, precision, scaler: scaler));
        var steps = new List<StepResult>();
        for (int step = 0; step < Steps; step++)
        {
            steps.Add(trainer.Step(study.Loss));
            between?.Invoke(step, trainer);
        }

        return Result(steps, study, trainer);
    }

    protected static Run Result(IReadOnlyList<StepResult> steps, LineStudy study, Trainer trainer) => new(
        steps,
        [.. study.Model.Parameters().Select(Bits)],
        Gradients(study),
        [.. Enum.GetValues<Precision>().Select(precision => Predict(study, precision))],
        study.Optimizer.StepCount,
        trainer.Scaler.StateDict(),
        trainer.CaptureStatus);

    protected static string[] Gradients(LineStudy study) =>
        [.. study.Model.Parameters().Select(parameter => parameter.Grad is { } gradient ? Bits(gradient) : "none")];

    protected static string Predict(LineStudy study, Precision precision)
    {
        using var scope = TensorScope.Begin();
        using var noGrad = NoGrad.Enter();
        using var autocast = Autocast.Enable(precision);
        return Bits(study.Model.Forward(study.X).To(DType.Float64));
    }

    protected static void AssertSame(Run[] runs)
    {
        var (eager, captured) = (runs[0], runs[1]);
        Assert.Multiple(() =>
        {
            Assert.That(captured.Steps, Is.EqualTo(eager.Steps));
            Assert.That(captured.Parameters, Is.EqualTo(eager.Parameters));
            Assert.That(captured.Gradients, Is.EqualTo(eager.Gradients));
            Assert.That(captured.Predictions, Is.EqualTo(eager.Predictions));
            Assert.That((captured.StepCount, captured.Scaler), Is.EqualTo((eager.StepCount, eager.Scaler)));
        });
    }

    protected sealed record Run(
        IReadOnlyList<StepResult> Steps,
        string[] Parameters,
        string[] Gradients,
        string[] Predictions,
        long StepCount,
        GradScalerState Scaler,
        CaptureStatus Status);
}
