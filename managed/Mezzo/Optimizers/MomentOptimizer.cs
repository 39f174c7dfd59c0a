// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>An optimizer that keeps two moments of each parameter's gradient.</summary>
/// <typeparam name="TOptions">Kind of its hyperparameters.</typeparam>
public abstract class MomentOptimizer<TOptions> : Optimizer<TOptions>
    where TOptions : MomentOptions
{
    private readonly Dictionary<Parameter, (Tensor ExpAvg, Tensor ExpAvgSq)> _moments;

    /// <summary>Takes the parameters to optimise, with zero moments.</summary>
    private protected MomentOptimizer(IEnumerable<(IEnumerable<Parameter> Parameters, TOptions Options)> groups)
        : base(groups) => _moments = Parameters.ToDictionary(parameter => parameter, parameter => (ZerosLike(parameter), ZerosLike(parameter)));

    /// <summary>The native call.</summary>
    private protected delegate void StepCall(
        MezzoTensor[] parameters, MezzoTensor[] expAvgs, MezzoTensor[] expAvgSqs, MezzoTensor[] copies, MezzoTensor[] gradients);

    /// <summary>Calls the native step with the tensors of parameters.</summary>
    private protected void Step(Parameter[] parameters, StepCall call) => call(
        Array.ConvertAll(parameters, parameter => parameter.Handle),
        Array.ConvertAll(parameters, parameter => _moments[parameter].ExpAvg.Handle),
        Array.ConvertAll(parameters, parameter => _moments[parameter].ExpAvgSq.Handle),
        Array.ConvertAll(parameters, parameter => parameter.CopyHandle),
        Array.ConvertAll(parameters, parameter => parameter.Grad!.Handle));

    /// <inheritdoc/>
    private protected sealed override IEnumerable<ParameterState> States() => _moments.SelectMany(pair => new[]
    {
        new ParameterState("exp_avg", pair.Key, pair.Value.ExpAvg),
        new ParameterState("exp_avg_sq", pair.Key, pair.Value.ExpAvgSq),
    });

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        foreach (var (expAvg, expAvgSq) in _moments.Values)
        {
            expAvg.Dispose();
            expAvgSq.Dispose();
        }
    }
}
