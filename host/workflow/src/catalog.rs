//! The engine's own functions, beside the host's atoms and the plugins' actions.

use serde_json::{Value, json};

use crate::action::ActionInfo;

struct Function {
    name: &'static str,
    title: (&'static str, &'static str),
    description: (&'static str, &'static str),
    input: fn() -> Value,
}

const FUNCTIONS: &[Function] = &[
    Function {
        name: "workflow.run",
        title: ("Run a workflow", "运行工作流"),
        description: (
            "Starts a run of another workflow and waits for its end; answers its output. The same as `run: {workflow: ..}`.",
            "启动另一个工作流并等待其结束，返回其输出。",
        ),
        input: || {
            json!({"type": "object", "required": ["name"], "additionalProperties": false, "properties": {
                "namespace": {"type": "string"}, "name": {"type": "string"}, "version": {"type": "string", "default": "latest"},
                "input": {}, "await": {"type": "boolean", "default": true}}})
        },
    },
    Function {
        name: "approval",
        title: ("Ask for a decision", "请求审批"),
        description: (
            "Asks people and waits: any of them, all, a share, or one after another; answers decision (approved or rejected), votes and data. Without an answer until the deadline it goes to `escalate_to`, then fails.",
            "请求人员审批并等待：任一人、全部、一定比例或依次；返回 decision、votes 和 data。超过期限则升级给 escalate_to，再无人处理则失败。",
        ),
        input: || {
            let people = json!({"type": "array", "maxItems": 50, "items": {"type": "string", "pattern": "^(user:.+|role:(viewer|operator|administrator))$"}});
            json!({"type": "object", "required": ["title", "approvers"], "additionalProperties": false, "properties": {
                "title": {"type": "string", "maxLength": 300}, "text": {"type": "string"}, "approvers": people,
                "mode": {"enum": ["any", "all", "share", "in_turn"], "default": "any"}, "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                "form": {"type": "object", "description": "JSON Schema of what an answer carries."},
                "deadline": {"description": "A duration, {hours: 4} or PT4H."}, "escalate_to": people}})
        },
    },
    Function {
        name: "lock",
        title: ("Take a lock", "获取锁"),
        description: (
            "Waits until fewer than `permits` runs (1 by default) have the lock of this name, then has it until `unlock` or the end of the run, however it ends.",
            "等待直到持有同名锁的运行少于 permits（默认 1），随后持有该锁，直到 unlock 或运行结束。",
        ),
        input: || {
            json!({"type": "object", "required": ["name"], "additionalProperties": false,
                "properties": {"name": {"type": "string", "maxLength": 200}, "permits": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 1}}})
        },
    },
    Function {
        name: "unlock",
        title: ("Give a lock back", "释放锁"),
        description: ("Gives a lock back before the run ends.", "在运行结束前释放锁。"),
        input: || json!({"type": "object", "required": ["name"], "additionalProperties": false, "properties": {"name": {"type": "string", "maxLength": 200}}}),
    },
    Function {
        name: "rate",
        title: ("Keep a pace", "限速"),
        description: (
            "Waits for its turn in a queue of which `limit` calls go on within `per`; over all runs that name it.",
            "在同名队列中等待；每个 per 时间段内最多放行 limit 次，对所有运行有效。",
        ),
        input: || {
            json!({"type": "object", "required": ["name"], "additionalProperties": false, "properties": {
                "name": {"type": "string", "maxLength": 200}, "limit": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 1},
                "per": {"description": "A duration, {seconds: 1} or PT1S.", "default": "PT1S"}}})
        },
    },
];

fn info(f: &Function) -> ActionInfo {
    let text = |(en, zh): (&str, &str)| json!({ "en": en, "zh": zh });
    ActionInfo {
        name: f.name.to_owned(),
        title: text(f.title),
        description: text(f.description),
        input_schema: Some((f.input)()),
        output_schema: None,
    }
}

/// The engine's own function of that name.
pub(crate) fn own(name: &str) -> Option<ActionInfo> {
    FUNCTIONS.iter().find(|f| f.name == name).map(info)
}

/// All of them.
pub(crate) fn all() -> Vec<ActionInfo> {
    FUNCTIONS.iter().map(info).collect()
}
