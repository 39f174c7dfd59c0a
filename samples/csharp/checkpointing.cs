#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// A deep network in less memory, by segments and to a number of bytes: dotnet run -c Release samples/csharp/checkpointing.cs
using Mezzo;

const int Layers = 24, Width = 128, Rows = 1024, Steps = 10;

// On the GPU if there is one.
Device.Default = Device.Cuda().IsAvailable ? Device.Cuda() : Device.Cpu;
using var x = Tensor.Uniform([Rows, Width], -1, 1, random: new RandomSource(1));
using var y = Tensor.Uniform([Rows, 1], 0, 1, random: new RandomSource(2));

var plain = Train();
var segmented = Train(segments: 5);
var planned = Train(choose: profile =>
{
    Console.WriteLine("what a step may take:");
    foreach (var plan in profile.Curve.Where((_, i) => i % 4 == 0))
    {
        Console.WriteLine($"{Megabytes(plan.PredictedPeakBytes)} in {1000 * plan.PredictedSeconds,5:n1} ms, {plan.Regions,2} regions computed once more");
    }

    return profile.ForBudget(profile.KeepingAll.PredictedPeakBytes * 6 / 10);
});

Console.WriteLine($"\nwhat {Steps} steps took:");
Console.WriteLine($"{Megabytes(plain.Peak)} keeping all activations");
Console.WriteLine($"{Megabytes(segmented.Peak)} in segments");
Console.WriteLine($"{Megabytes(planned.Peak)} by the plan: {planned.Peak:n0} bytes measured, {planned.Predicted:n0} predicted");
bool same = plain.Losses.SequenceEqual(segmented.Losses) && plain.Losses.SequenceEqual(planned.Losses);
Console.WriteLine($"loss {plain.Losses[0]:g3} -> {plain.Losses[^1]:g3}: {(same ? "bit-identical in all three" : "DIFFERENT")}");
return same && planned.Peak == planned.Predicted && segmented.Peak < plain.Peak ? 0 : 1;

(IReadOnlyList<double> Losses, long Peak, long? Predicted) Train(int segments = 0, Func<CheckpointProfile, CheckpointPlan>? choose = null)
{
    RandomSource.SetDefaultSeed(3);
    Module<Tensor, Tensor>[] modules =
        [.. Enumerable.Range(0, Layers).SelectMany(_ => new Module<Tensor, Tensor>[] { new Linear(Width, Width), new ReLU() }), new Linear(Width, 1)];
    using var model = new Sequential(modules);
    using var adam = new Adam(model.Parameters(), lr: 0.01);

    // Plans tell the bytes of steps that run op by op; captured ones take about as much.
    using var trainer = new Trainer(adam, new TrainerOptions { Capture = CaptureMode.Off });
    Tensor Loss() => Losses.Mse(segments > 0 ? Checkpoint.Sequential(modules, segments, x) : model.Forward(x), y);
    trainer.CheckpointPlan = choose?.Invoke(trainer.Profile(Loss));
    Device.Default.ResetPeakMemory();
    var losses = trainer.Run(Loss, Steps).Losses;
    return (losses, Device.Default.Memory.PeakBytes, trainer.CheckpointPlan?.PredictedPeakBytes);
}

static string Megabytes(long bytes) => $"{bytes / 1e6,6:n1} MB";
