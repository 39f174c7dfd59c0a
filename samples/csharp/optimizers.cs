#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// Optimizers by name, parameter groups, a schedule and clipping, in bf16: dotnet run -c Release samples/csharp/optimizers.cs
using Mezzo;

const int Steps = 200;

var x = Tensor.Uniform([256, 1], -1, 1, random: new RandomSource(1));
var target = x * 3 + Tensor.Full([256, 1], -1);

(string Name, Func<Module, Optimizer> Create)[] optimizers =
[
    ("Adam", model => new Adam(model.Parameters(), AdamOptions.Adam with { LearningRate = 0.02 })),
    ("AdamW", model => new Adam(model, NoDecayOfBiases(AdamOptions.AdamW with { LearningRate = 0.02 }))),
    ("FusedAdam", model => new Adam(model, NoDecayOfBiases(AdamOptions.FusedAdam with { LearningRate = 0.02, WeightDecay = 0.01 }))),
    ("legacy FusedAdam", model => new Adam(model.Parameters(), AdamOptions.LegacyFusedAdam with
    {
        LearningRate = 0.02,
        Clipping = GradientClipping.ByNorm(1, ClippingScope.Group),
    })),
    ("BertAdam", model => new Adam(model, NoDecayOfBiases(AdamOptions.BertAdam with { LearningRate = 0.01 }))),
    ("AdamW of transformers", model => new Adam(model.Parameters(), AdamOptions.HuggingFaceAdamW with { LearningRate = 0.02 })),
    ("LAMB", model => new Lamb(model, name => new LambOptions { LearningRate = 0.05, WeightDecay = name.EndsWith("bias", StringComparison.Ordinal) ? 0 : 0.01 })),
    ("SGD", model => new Sgd(model.Parameters(), new SgdOptions { LearningRate = 0.1, Momentum = 0.9, Nesterov = true })),
];

Console.WriteLine($"{"optimizer",-22} {"first loss",12} {"last loss",12} {"last norm",12} {"last rate",12}");
foreach (var (name, create) in optimizers)
{
    var random = new RandomSource(2);
    using var model = new Sequential(new Linear(1, 16, random: random), new ReLU(), new Linear(16, 1, random: random));
    using var optimizer = create(model);
    optimizer.Schedule = new WarmupLinearSchedule(Steps, warmup: 0.1);
    optimizer.MeasuresGradients = true;
    using var trainer = new Trainer(optimizer, new TrainerOptions { Precision = Precision.BFloat16, LogEvery = 0 });
    var steps = trainer.Run(() => Losses.Mse(model.Forward(x).To(DType.Float32), target), Steps).Steps;

    double rate = optimizer.Groups[0].LearningRate * optimizer.Schedule.Factor(Steps - 1);
    Console.WriteLine($"{name,-22} {steps[0].Loss,12:g4} {steps[^1].Loss,12:g4} {steps[^1].Gradients!.Value.Norm,12:g4} {rate,12:g4}");
    if (steps[^1].Loss > 0.05 * steps[0].Loss)
    {
        Console.Error.WriteLine($"{name}: the loss is {steps[^1].Loss}, expected at most a twentieth of {steps[0].Loss}");
        return 1;
    }
}

return 0;

// The parameters whose names end with "bias" are a group of their own.
static Func<string, AdamOptions?> NoDecayOfBiases(AdamOptions options) =>
    name => name.EndsWith("bias", StringComparison.Ordinal) ? options with { WeightDecay = 0 } : options;
