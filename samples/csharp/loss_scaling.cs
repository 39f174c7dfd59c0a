#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// How the loss scale of each library's policy takes overflows: dotnet run -c Release samples/csharp/loss_scaling.cs
using Mezzo;

const string Steps = "..X....XX...X.XX.X......"; // X: a step whose gradients overflow

Console.WriteLine($"{"policy",-20} loss scale after each step of {Steps}");
foreach (var policy in ScalerPolicy.Dynamic)
{
    // So that a short pattern shows something: the libraries begin higher and wait for 1000 or 2000 clean steps.
    var scaler = new GradScaler(policy with { InitScale = 1024, GrowthInterval = 3 });
    using var weight = new Parameter([4]);
    using var adam = new Adam([weight], lr: 0.1);
    weight.Fill(1);

    Console.Write($"{policy.Name,-20}");
    foreach (char step in Steps)
    {
        using var scope = TensorScope.Begin();
        adam.ZeroGrad();
        var loss = weight.Sum() * (step == 'X' ? double.PositiveInfinity : 1);
        scaler.Scale(loss).Backward();
        ScalerStepResult result = scaler.Step(adam);
        scaler.Update();
        if ((result.Outcome == StepOutcome.Skipped) != (step == 'X'))
        {
            Console.Error.WriteLine($"{policy.Name}: a step was {result.Outcome}, {result.Reason}");
            return 1;
        }

        Console.Write($" {scaler.GetScale()}");
    }

    Console.WriteLine();
}

return 0;
