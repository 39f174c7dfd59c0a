// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>A part of a model: parameters, buffers, and the modules it is made of.</summary>
/// <remarks>
/// Disposing of a module frees its parameters and buffers and those of the modules it is made of. One that is not
/// disposed of is freed when it is collected, which may be late for a model of many bytes.
/// </remarks>
public abstract partial class Module : IDisposable
{
    private readonly List<(string Name, Parameter Parameter)> _parameters = [];
    private readonly List<(string Name, Tensor Buffer)> _buffers = [];
    private readonly List<(string Name, Module Module)> _children = [];
    private bool _isTraining = true;

    /// <summary>
    /// Whether the module is in training mode, as it is at first: some modules, such as those that drop elements at random,
    /// do something else when they train than when they predict.
    /// </summary>
    public bool IsTraining
    {
        get
        {
            CaptureTrace.Current?.Use(this, _isTraining);
            return _isTraining;
        }
    }

    /// <summary>
    /// Whether the module keeps no reference to what it takes and gives after its forward pass, so that a
    /// <see cref="Sequential"/> may free what flows between it and another such module.
    /// </summary>
    internal virtual bool KeepsNoTensor => false;

    /// <summary>Whether the module normalises by statistics of the batch: see <see cref="OptLevelOptions.KeepBatchNormFloat32"/>.</summary>
    internal virtual bool IsBatchNorm => false;

    /// <summary>Sets the mode of this module and of those it is made of.</summary>
    /// <param name="training">Training mode; false is the same as <see cref="Eval"/>.</param>
    public void Train(bool training = true)
    {
        _isTraining = training;
        foreach (var (_, child) in _children)
        {
            child.Train(training);
        }
    }

    /// <summary>Takes this module and those it is made of out of training mode, to predict or to validate.</summary>
    public void Eval() => Train(training: false);

    /// <summary>The parameters of this module and of those it is made of, in order of registration.</summary>
    public IEnumerable<Parameter> Parameters() => NamedParameters().Select(named => named.Parameter);

    /// <summary>
    /// The parameters with their names, the path of modules joined by dots: "trunk.0.weight". One that is
    /// used in several places appears once, under its first name.
    /// </summary>
    public IEnumerable<(string Name, Parameter Parameter)> NamedParameters()
    {
        foreach (var (name, parameter) in List(module => module._parameters).DistinctBy(named => named.Part))
        {
            parameter.Name = name;
            yield return (name, parameter);
        }
    }

    /// <summary>
    /// The buffers of this module and of those it is made of, in order of registration: tensors that are state but are not
    /// learnt, such as running statistics.
    /// </summary>
    public IEnumerable<Tensor> Buffers() => NamedBuffers().Select(named => named.Buffer);

    /// <summary>The buffers with their names, as <see cref="NamedParameters"/> gives them.</summary>
    public IEnumerable<(string Name, Tensor Buffer)> NamedBuffers() =>
        List(module => module._buffers).DistinctBy(named => named.Part);

    /// <summary>This module and those it is made of, one inside the other.</summary>
    public IEnumerable<Module> Modules() => _children.SelectMany(child => child.Module.Modules()).Prepend(this);

    /// <summary>Overwrites all parameters with those of a module of the same structure. Buffers stay as they are.</summary>
    /// <exception cref="ArgumentException">A name, shape, dtype or device differs.</exception>
    public void CopyParametersFrom(Module source)
    {
        ArgumentNullException.ThrowIfNull(source);
        var (own, given) = (NamedParameters().ToArray(), source.NamedParameters().ToArray());
        var ownNames = own.Select(Describe).ToArray();
        var givenNames = given.Select(Describe).ToArray();
        if (!ownNames.SequenceEqual(givenNames))
        {
            string odd = ownNames.Except(givenNames).Concat(givenNames.Except(ownNames)).First();
            throw new ArgumentException($"The modules differ in the parameter {odd}.", nameof(source));
        }

        foreach (var (to, from) in own.Zip(given))
        {
            to.Parameter.TakeOver(from.Parameter.AsSaved());
        }
    }

    /// <summary>Frees the parameters, their gradients, and the buffers.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what the module holds; a derived module that holds more than parameters and modules adds to it.</summary>
    /// <param name="disposing">Always true: the module itself has nothing to finalise.</param>
    protected virtual void Dispose(bool disposing)
    {
        foreach (var (_, parameter) in _parameters)
        {
            parameter.Dispose();
        }

        foreach (var (_, buffer) in _buffers)
        {
            buffer.Dispose();
        }

        foreach (var (_, child) in _children)
        {
            child.Dispose();
        }
    }

    /// <summary>Adds a parameter under a name.</summary>
    /// <returns>The parameter.</returns>
    protected Parameter Register(string name, Parameter parameter)
    {
        CheckName(name);
        _parameters.Add((name, parameter));
        return parameter;
    }

    /// <summary>Adds a buffer under a name and takes it over: no <see cref="TensorScope"/> frees it any more.</summary>
    /// <returns>The buffer.</returns>
    /// <exception cref="ArgumentException">It is a parameter, or requires a gradient.</exception>
    protected Tensor RegisterBuffer(string name, Tensor buffer)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        CheckName(name);
        if (buffer.RequiresGrad)
        {
            throw new ArgumentException($"The buffer '{name}' requires a gradient; what is learnt is a Parameter.", nameof(buffer));
        }

        while (buffer.Scope is not null)
        {
            buffer.Keep();
        }

        _buffers.Add((name, buffer));
        return buffer;
    }

    /// <summary>Adds a module under a name.</summary>
    /// <returns>The module.</returns>
    protected T Register<T>(string name, T module)
        where T : Module
    {
        ArgumentNullException.ThrowIfNull(module);
        CheckName(name);
        _children.Add((name, module));
        return module;
    }

    /// <summary>Takes over the parts of a module under their own names: the one that this module stands for.</summary>
    private protected void Adopt(Module module) => _children.Add(("", module));

    /// <summary>Parts of this module and of those it is made of, under their paths.</summary>
    private IEnumerable<(string Name, T Part)> List<T>(Func<Module, List<(string Name, T Part)>> partsOf) =>
        partsOf(this).Concat(
            from child in _children
            from named in child.Module.List(partsOf)
            select (Name: child.Name.Length == 0 ? named.Name : $"{child.Name}.{named.Name}", named.Part));

    private static string Describe((string Name, Parameter Parameter) named) => $"{named.Name} {named.Parameter.Description}";

    private void CheckName(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name.Contains('.', StringComparison.Ordinal))
        {
            throw new ArgumentException($"The name '{name}' contains a dot, which separates the names of modules.", nameof(name));
        }

        if (_parameters.Exists(p => p.Name == name) || _buffers.Exists(b => b.Name == name) || _children.Exists(c => c.Name == name))
        {
            throw new ArgumentException($"The module already has a part named '{name}'.", nameof(name));
        }
    }
}

/// <summary>A module that computes an output from an input.</summary>
/// <typeparam name="TInput">What it takes: a tensor, or a tuple of them.</typeparam>
/// <typeparam name="TOutput">What it gives: a tensor, or a tuple of them.</typeparam>
public abstract class Module<TInput, TOutput> : Module
{
    /// <summary>Computes the output.</summary>
    public abstract TOutput Forward(TInput input);
}
