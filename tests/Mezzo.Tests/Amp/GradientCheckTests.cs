// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

/// <summary>
/// The check for Inf and NaN that the ops of the backward pass make. What is there before a step says whether it must be
/// skipped; the number of ops captured says what was read for it.
/// </summary>
internal sealed class GradientCheckTests : TensorFixture
{
    private Sequential _model = null!;
    private Parameter _offset = null!;
    private Adam _adam = null!;
    private GradScaler _scaler = null!;

    [SetUp]
    public void MakeAModel()
    {
        _model = new Sequential(new Linear(5, 4), new ReLU(), new Linear(4, 3), new Linear(3, 2));
        _offset = new Parameter([3, 2]);
        _offset.Fill(0);
        _adam = new Adam([.. _model.Parameters(), _offset], lr: 1e-3);
        _scaler = new GradScaler(initScale: 16);
    }

    [TearDown]
    public void FreeTheModel()
    {
        _model.Dispose();
        _offset.Dispose();
        _adam.Dispose();
    }

    [Test]
    public void Step_OfGradientsCheckedAsTheyWereWritten_ReadsNoneAgain()
    {
        _scaler.Scale(Tensor.Scalar(1f));
        Assert.That(OpsOfAStep(Loss), Is.EqualTo(4), "the first step does not know yet whose the gradients are: found_inf = 0, unscale, a look into what was found, adam");
        Assert.That(OpsOfAStep(Loss), Is.EqualTo(2));
    }

    [Test]
    public void Step_WhereAnotherOpWroteAGradient_ReadsThatOne()
    {
        _scaler.Scale(Tensor.Scalar(1f));
        OpsOfAStep(LossWithOffset);
        Assert.That(OpsOfAStep(LossWithOffset), Is.EqualTo(3));
        Assert.That(OpsOfAStep(Loss), Is.EqualTo(2), "the offset has no gradient");
    }

    [Test]
    public void Step_WhereAnotherOpAddedToACheckedGradient_ReadsThatOne()
    {
        Iterate(isBad: false);
        _adam.ZeroGrad();
        _scaler.Scale(Loss()).Backward();
        _scaler.Scale(LossOf(_adam.Parameters[0], isBad: true)).Backward();
        Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(StepOutcome.Skipped));
    }

    [Test]
    public void Step_AfterAnySequenceOfCalls_SkipsExactlyWhatIsNotFinite([Values] bool measures)
    {
        var random = new Random(11);
        _adam.MeasuresGradients = measures;
        var outcomes = new HashSet<StepOutcome>();
        _scaler.Scale(Tensor.Scalar(1f));
        for (int round = 0; round < 300; round++)
        {
            if (random.Next(3) > 0)
            {
                _adam.ZeroGrad();
            }

            for (int action = random.Next(1, 6); action > 0; action--)
            {
                Act(random);
            }

            if (random.Next(5) == 0)
            {
                continue; // given up without a step, and without an update
            }

            if (random.Next(6) == 0)
            {
                _scaler.Unscale(_adam);
                if (random.Next(2) == 0)
                {
                    Step(random, isUnscaled: true);
                }
            }
            else
            {
                outcomes.Add(Step(random, isUnscaled: false));
            }

            _scaler.Update(newScale: 16);
        }

        Assert.That(outcomes, Is.EquivalentTo(new[] { StepOutcome.Applied, StepOutcome.Skipped }));
    }

    [Test]
    public void Step_OfAParameterOfTwoOptimizers_ChecksForEach()
    {
        using var other = new Adam(_model.Parameters());
        for (int i = 0; i < 3; i++)
        {
            bool isBad = i == 1;
            _adam.ZeroGrad();
            _scaler.Scale(Loss(isBad)).Backward();
            var expected = isBad ? StepOutcome.Skipped : StepOutcome.Applied;
            Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(expected));
            Assert.That(_scaler.Step(other).Outcome, Is.EqualTo(expected));
            _scaler.Update();
        }
    }

    [Test]
    public void Step_OfTheSecondOptimizer_DoesNotHearOfTheFirst()
    {
        using var twin = new Linear(5, 2);
        using var other = new Adam(twin.Parameters());
        for (int i = 0; i < 4; i++)
        {
            _adam.ZeroGrad();
            other.ZeroGrad();
            _scaler.Scale(Loss(isBad: i % 2 == 1)).Backward();
            Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(i % 2 == 1 ? StepOutcome.Skipped : StepOutcome.Applied));
            _scaler.Scale(twin.Forward(Tensor.Full([3, 5], i >= 2 ? double.NaN : 1)).Sum()).Backward();
            Assert.That(_scaler.Step(other).Outcome, Is.EqualTo(i >= 2 ? StepOutcome.Skipped : StepOutcome.Applied));
            _scaler.Update();
        }
    }

    [Test]
    public void Step_OfGradientsFromAGraph_SkipsWhatIsNotFinite([Values] bool scalesInGraph)
    {
        var input = Tensor.Full([3, 5], 1);
        Iterate(isBad: false);
        _adam.ZeroGrad();
        using var graph = Graph.Capture(() =>
        {
            var loss = _model.Forward(input).Sum();
            (scalesInGraph ? _scaler.Scale(loss) : loss * 16).Backward();
        });
        foreach (bool isBad in new[] { false, true, false, true, true, false })
        {
            input.Fill(isBad ? double.NaN : 1);
            if (!scalesInGraph)
            {
                _scaler.Scale(Tensor.Scalar(1f));
            }

            graph.Launch();
            Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(isBad ? StepOutcome.Skipped : StepOutcome.Applied));
            _scaler.Update();
            Assert.That(Iterate(isBad), Is.EqualTo(isBad ? StepOutcome.Skipped : StepOutcome.Applied), "between two launches");
        }
    }

    [Test]
    public void Launch_OfAWholeStepWhileAnotherIsUnderWay_LeavesTheOtherItsCheck()
    {
        Iterate(isBad: false);
        _adam.ZeroGrad();
        using var graph = Graph.Capture(() =>
        {
            _scaler.Scale(LossOf(_offset)).Backward();
            _scaler.IssueStep(_adam);
            _scaler.Update();
        });
        _adam.ZeroGrad();
        _scaler.Scale(Loss(isBad: true)).Backward();
        graph.Launch();
        Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(StepOutcome.Skipped), "the weights' gradients are still Inf");
    }

    [Test]
    public void Step_OfALayerSharedByTwoOptimizers_SkipsInEachWhatIsItsOwn()
    {
        using var layer = new Linear(2, 2);
        using var ofWeight = new Adam([layer.Weight]);
        using var ofBias = new Adam([layer.Bias!]);
        for (int i = 0; i < 4; i++)
        {
            bool isBad = i % 2 == 1;
            ofWeight.ZeroGrad();
            ofBias.ZeroGrad();

            // An infinite input makes the weight's gradient infinite, not the bias's.
            _scaler.Scale(layer.Forward(Tensor.Full([3, 2], isBad ? double.PositiveInfinity : 1)).Sum()).Backward();
            Assert.That(_scaler.Step(ofWeight).Outcome, Is.EqualTo(isBad ? StepOutcome.Skipped : StepOutcome.Applied));
            Assert.That(_scaler.Step(ofBias).Outcome, Is.EqualTo(StepOutcome.Applied));
            _scaler.Update();
        }
    }

    [Test]
    public void Launch_ThatWritesACheckedGradientAnew_MakesItReadAgain([Values] bool accumulates)
    {
        var input = Tensor.Full([3, 5], 1);
        Iterate(isBad: false);
        _adam.ZeroGrad();
        if (accumulates)
        {
            _scaler.Scale(Loss()).Backward();
        }

        using var graph = Graph.Capture(() => (_model.Forward(input).Sum() * 16).Backward());
        graph.Launch();
        _scaler.Scale(Loss()).Backward(); // adds to what the graph has written, and checks the sum
        input.Fill(double.NaN);
        graph.Launch();
        Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(StepOutcome.Skipped));
    }

    [Test]
    public void Launch_OfAnUnscaling_EndsTheRoundOutsideOfIt()
    {
        Iterate(isBad: false);
        _adam.ZeroGrad();
        _scaler.Scale(Loss()).Backward();
        using var graph = Graph.Capture(() => _scaler.Unscale(_adam));
        _scaler.Update();
        _adam.ZeroGrad();
        _scaler.Scale(Loss(isBad: true)).Backward();
        graph.Launch(); // of the gradients that have been cleared
        Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(StepOutcome.Skipped));
    }

    [Test]
    public void Clear_OfAGradientCheckedInPart_ForgetsWhatWasFound()
    {
        var weight = new Parameter([4, 4]);
        using var adam = new Adam([weight]);
        foreach (bool isBad in new[] { false, true })
        {
            weight.Fill(1);
            adam.ZeroGrad();
            _scaler.Scale(Gram(isBad)).Backward();
            if (!isBad)
            {
                _scaler.Step(adam);
                _scaler.Update();
            }
        }

        adam.ZeroGrad();
        _scaler.Scale(Gram(isBad: false)).Backward();
        Assert.That(_scaler.Step(adam).Outcome, Is.EqualTo(StepOutcome.Applied));
        weight.Dispose();

        // Both gradients of one layer are the same parameter's, and added up.
        Tensor Gram(bool isBad) => weight.Linear(weight).Sum() * (isBad ? double.PositiveInfinity : 1);
    }

    [Test]
    public void Clear_BetweenTheStepsOfTwoOptimizersOfOneParameter_IsKnownToBoth([Values] bool inOrder)
    {
        using var other = new Adam(_adam.Parameters);
        var (first, second) = inOrder ? (_adam, other) : (other, _adam);
        foreach (bool isBad in new[] { false, true })
        {
            _adam.ZeroGrad();
            _scaler.Scale(Loss(isBad)).Backward();
            Assert.That(_scaler.Step(first).Outcome, Is.EqualTo(isBad ? StepOutcome.Skipped : StepOutcome.Applied));
            _adam.ZeroGrad();
            _scaler.Scale(Loss()).Backward();
            Assert.That(_scaler.Step(second).Outcome, Is.EqualTo(StepOutcome.Applied));
            _scaler.Update();
        }
    }

    [Test]
    public void Step_WithASecondScaler_ChecksForEach()
    {
        var other = new GradScaler(initScale: 16);
        for (int i = 0; i < 6; i++)
        {
            var (scaler, isBad) = (i % 2 == 0 ? _scaler : other, i is 2 or 3);
            _adam.ZeroGrad();
            scaler.Scale(Loss(isBad)).Backward();
            Assert.That(scaler.Step(_adam).Outcome, Is.EqualTo(isBad ? StepOutcome.Skipped : StepOutcome.Applied));
            scaler.Update();
        }
    }

    [Test]
    public void Backward_ThatFailsAfterAnOpHasFoundInf_ForgetsIt()
    {
        Iterate(isBad: false);
        _adam.ZeroGrad();
        var loss = _scaler.Scale(Operation.Apply(new OpThatFindsInfAndFails(), _offset).Sum());
        Assert.That(() => loss.Backward(), Throws.TypeOf<NotSupportedException>());
        Assert.That(_offset.Grad, Is.Null, "there is nothing to clear that would tell the check");
        _scaler.Scale(Loss()).Backward();
        Assert.That(_scaler.Step(_adam).Outcome, Is.EqualTo(StepOutcome.Applied));
    }

    [Test]
    public void Update_KnowsOptimizersThatNobodyElseKeeps()
    {
        StepAndForget();
        Garbage.Collect();
        _scaler.Update();
        Assert.That(_scaler.GetScale(), Is.EqualTo(8));

        // A frame of its own, so that nothing refers to the optimizer afterwards.
        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        void StepAndForget()
        {
            _scaler.Scale(Loss(isBad: true)).Backward();
            _scaler.Step(new Adam(_model.Parameters()));
        }
    }

    [Test]
    public void Capture_OfAScalersFirstUse_IsRefused()
    {
        Assert.That(
            () => Graph.Capture(() => new GradScaler(device: _adam.Device).Scale(Loss())),
            Throws.InvalidOperationException.With.Message.Contains("each launch would begin with its initial scale again"));
        Assert.That(Iterate(isBad: false), Is.EqualTo(StepOutcome.Applied));
    }

    [Test]
    public void Capture_ThatFails_LeavesTheCheckAsItWas()
    {
        Iterate(isBad: true);
        _adam.ZeroGrad();
        Assert.That(() => Graph.Capture(() => _scaler.Scale(Loss()).Item()), Throws.TypeOf<MezzoException>());
        Assert.That(Iterate(isBad: false), Is.EqualTo(StepOutcome.Applied));
    }

    private static bool IsFinite(Tensor? tensor) => tensor is null || Values(tensor).All(double.IsFinite);

    private static Tensor LossOf(Parameter parameter, bool isBad = false) => parameter.Sum() * (isBad ? double.NaN : 1);

    private static void Backward(Tensor loss)
    {
        if (loss.RequiresGrad)
        {
            loss.Backward();
        }
    }

    private void Act(Random random)
    {
        bool isBad = random.Next(4) == 0;
        var parameter = _adam.Parameters[random.Next(_adam.Parameters.Count)];
        switch (random.Next(9))
        {
            case 0:
                _adam.ZeroGrad();
                break;
            case 1:
                parameter.ClearGrad();
                break;
            case 2:
                parameter.Grad?.Fill(isBad ? double.NegativeInfinity : 0);
                break;
            case 3:
                Backward(Loss(isBad));
                break;
            case 4:
                Backward(_scaler.Scale(LossWithOffset(isBad)));
                break;
            case 5:
                Backward(_scaler.Scale(LossOf(parameter, isBad)));
                break;
            case 6:
                parameter.RequiresGrad = !parameter.RequiresGrad;
                break;
            default:
                Backward(_scaler.Scale(Loss(isBad)));
                break;
        }
    }

    private StepOutcome Step(Random random, bool isUnscaled)
    {
        bool hasGradients = _adam.Parameters.Any(parameter => parameter.Grad is not null);
        bool isFinite = _adam.Parameters.All(parameter => IsFinite(parameter.Grad));
        if (isUnscaled && random.Next(2) == 0)
        {
            // Clipping, say: what unscaling has found stays.
            Array.ForEach([.. _adam.Parameters], parameter => parameter.Grad?.Fill(1));
        }

        var outcome = _scaler.Step(_adam).Outcome;
        Assert.That(outcome, Is.EqualTo(hasGradients && isFinite ? StepOutcome.Applied : StepOutcome.Skipped));
        Assert.That(_adam.Parameters, Is.All.Matches<Parameter>(parameter => IsFinite(parameter)));
        return outcome;
    }

    private StepOutcome Iterate(bool isBad)
    {
        _adam.ZeroGrad();
        _scaler.Scale(Loss(isBad)).Backward();
        var outcome = _scaler.Step(_adam).Outcome;
        _scaler.Update();
        return outcome;
    }

    /// <summary>Ops that a step takes between the backward pass and the update of the scale, found by capturing it.</summary>
    private long OpsOfAStep(Func<bool, Tensor> loss)
    {
        long before = Capture(() => _scaler.Scale(loss(false)).Backward());
        long all = Capture(() =>
        {
            _scaler.Scale(loss(false)).Backward();
            _scaler.IssueStep(_adam);
        });
        return all - before;

        long Capture(Action work)
        {
            _adam.ZeroGrad();
            using var scope = TensorScope.Begin();
            using var graph = Graph.Capture(work);
            _scaler.Forget();
            return graph.Ops;
        }
    }

    private Tensor Loss(bool isBad = false) => _model.Forward(Tensor.Full([3, 5], isBad ? double.PositiveInfinity : 1)).Sum();

    private Tensor LossWithOffset(bool isBad) =>
        (_model.Forward(Tensor.Full([3, 5], 1)) + _offset).Sum() * (isBad ? double.PositiveInfinity : 1);

    /// <summary>
    /// What a linear layer does that runs out of memory after one of its gradients: found_inf is set, the gradient is
    /// nobody's.
    /// </summary>
    private sealed class OpThatFindsInfAndFails : Operation
    {
        public override string Name => "op_that_fails";

        protected override Tensor Forward() => Input(0) * 1;

        protected override void Backward(Tensor gradOutput)
        {
            LendGradient(0)!.Value.Check!.FoundInf.Fill(1);
            throw new NotSupportedException();
        }
    }
}
