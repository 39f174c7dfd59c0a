#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// A run that is broken off and resumed, against one that is not: dotnet run -c Release samples/csharp/saving.cs
using Mezzo;

const int Samples = 200, Epochs = 6;
string folder = Path.Combine(Path.GetTempPath(), $"mezzo-saving-{Guid.NewGuid():N}");
float[] x = [.. Enumerable.Range(0, Samples).Select(i => (2f * i / (Samples - 1)) - 1)];

double[] whole = Train(saveIn: null, stopAfter: int.MaxValue);
double[] before = Train(saveIn: folder, stopAfter: 17); // in the middle of an epoch
double[] after = Train(saveIn: folder, stopAfter: int.MaxValue);

foreach (string file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order())
{
    Console.WriteLine($"{new FileInfo(file).Length,7:n0} bytes  {Path.GetRelativePath(folder, file)}");
}

string weights = Directory.GetFiles(folder, "weights.safetensors", SearchOption.AllDirectories).Order().Last();
using var model = Model();
model.LoadStateDict(SafeTensors.Load(weights)); // what is learnt, without the rest
Directory.Delete(folder, recursive: true);

bool same = whole.SequenceEqual(before.Concat(after));
Console.WriteLine($"{before.Length} + {after.Length} steps, loss {whole[0]:g3} -> {whole[^1]:g3}: {(same ? "bit-identical to" : "DIFFERENT from")} the run without a break");
return same ? 0 : 1;

// A program as it is begun anew each time.
double[] Train(string? saveIn, int stopAfter)
{
    RandomSource.SetDefaultSeed(1);
    using var model = Model();
    using var adam = new Adam(model, name => AdamOptions.AdamW with { LearningRate = 0.01 });
    adam.Schedule = new WarmupLinearSchedule(totalSteps: 80, warmup: 0.1);
    var order = new BatchOrder(Samples, batchSize: 16, seed: 7);
    using var trainer = new Trainer(adam, new TrainerOptions
    {
        Precision = Precision.Float16,
        SaveFolder = saveIn,
        SaveEvery = saveIn is null ? 0 : 5,
        SavedParts = [("data", order)],
    });
    if (saveIn is not null && TrainingState.Exists(saveIn))
    {
        trainer.Resume(saveIn);
    }

    var batches = order.Batches(Epochs).Select(samples => (Column(samples.Select(i => x[i])), Column(samples.Select(i => MathF.Sin(3 * x[i])))));
    return [.. trainer.Run((input, target) => Losses.Mse(model.Forward(input).To(DType.Float32), target), batches.Take(stopAfter)).Losses];
}

Sequential Model() => new(new Linear(1, 32), new ReLU(), new Linear(32, 1));

Tensor Column(IEnumerable<float> values) => Tensor.Create<float>([.. values], [values.Count(), 1]);
