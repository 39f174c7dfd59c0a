#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// One model at each opt level: what it weighs, and how far it learns: dotnet run -c Release samples/csharp/opt_levels.cs
using Mezzo;

const int Steps = 300;
(string Name, OptLevelOptions Options)[] levels =
[
    ("O0: f32", OptLevelOptions.O0),
    ("O1: autocast to f16", OptLevelOptions.O1),
    ("O2: f16, f32 master weights", OptLevelOptions.O2),
    ("O2: bf16, 16-bit remainders", OptLevelOptions.O2 with { HalfType = DType.BFloat16, MasterWeights = MasterWeights.Remainder }),
    ("O3: f16 alone", OptLevelOptions.O3),
];
var x = Tensor.Uniform([512, 1], -3, 3, random: new RandomSource(1)).Keep();
var y = Tensor.Create(Array.ConvertAll(x.ToArray<float>(), MathF.Sin), [512, 1]);

double worst = 0;
foreach (var (name, options) in levels)
{
    RandomSource.SetDefaultSeed(2);
    var model = new Sequential(new Linear(1, 64), new LayerNorm(64), new GELU(), new Linear(64, 1));
    using var amp = Amp.Initialize(model, options);
    using var adam = new Adam(amp.Parameters(), lr: 0.01, eps: 1e-4);
    using var trainer = new Trainer(adam, new TrainerOptions { Precision = amp.Options.Precision, Scaler = amp.Scaler });
    var losses = trainer.Run((input, target) => Losses.Mse(amp.Forward(input), target), Enumerable.Repeat((x, y), Steps)).Losses;
    Console.WriteLine($"{name,-30} loss {losses[0]:g3} -> {losses[^1]:g3}, loss scale {amp.Scaler.GetScale():n0}");
    worst = Math.Max(worst, losses[^1] / losses[0]);
}

return worst < 0.2 ? 0 : 1;
