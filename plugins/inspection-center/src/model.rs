//! The records that the Inspection Center keeps. Lists stay small: what was found on a target, and the commands' own words, are kept
//! apart from the report, and what a batch adds up to apart from its targets.

use plenum_sdk::Timestamp;
use plenum_sdk::store::Collection;
use serde::{Deserialize, Serialize};

use crate::check::adjust::Overrides;
use crate::check::diff::{ChangeCounts, Changed};
use crate::check::grade::{CheckResult, Evidence, Status};
use crate::check::score::{Counts, Mean};
use crate::check::template::{Template, Text};

/// Templates that somebody made.
pub const TEMPLATES: Collection<StoredTemplate> = Collection::new("templates");
/// What to inspect, and when.
pub const INSPECTIONS: Collection<Inspection> = Collection::new("inspections");
/// One for each time.
pub const REPORTS: Collection<Report> = Collection::new("reports");
/// The templates of a report, as they were.
pub const PLANS: Collection<Plan> = Collection::new("plans");
/// Targets that are graded together.
pub const BATCHES: Collection<Batch> = Collection::new("batches");
/// What was found, a record for each target.
pub const TARGETS: Collection<Target> = Collection::new("targets");
/// The commands' own words, a record for each target.
pub const EVIDENCE: Collection<TargetEvidence> = Collection::new("evidence");

/// A template that somebody made, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredTemplate {
    /// YAML as it was written.
    pub source: String,
    /// Who changed it last.
    pub updated_by: String,
    /// When.
    pub updated_at: Timestamp,
}

/// What to inspect, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inspection {
    /// Unique, for people.
    pub name: String,
    /// Why it is there.
    #[serde(default)]
    pub description: String,
    /// Templates with their targets.
    pub items: Vec<InspectionItem>,
    /// When it runs by itself.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// How many finished reports are kept.
    #[serde(default = "keep")]
    pub keep_reports: u32,
    /// Who made it.
    #[serde(default)]
    pub created_by: String,
    /// When.
    #[serde(default)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[serde(default)]
    pub updated_at: Timestamp,
    /// The report that was started last.
    #[serde(default)]
    pub last_report: Option<String>,
}

fn keep() -> u32 {
    30
}

/// One template and the targets that it is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectionItem {
    /// A template's id.
    pub template: String,
    /// CEL over the attributes of the template's model; empty for all.
    #[serde(default)]
    pub filter: String,
    /// What is different from the template.
    #[serde(default)]
    pub overrides: Overrides,
}

/// When an inspection runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Five fields.
    pub cron: String,
    /// IANA, such as `Europe/Berlin`.
    pub timezone: String,
    /// Off without losing it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// How far a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// Accepted; its workflow has not looked at it yet.
    Queued,
    /// Targets are being asked.
    Running,
    /// Complete.
    Finished,
    /// Its workflow ended early; what had been graded is there.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl ReportStatus {
    /// Nothing more will happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }
}

/// One time that an inspection ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Which inspection.
    pub inspection: String,
    /// Its name then.
    pub name: String,
    /// `manual` or `schedule`.
    pub trigger: String,
    /// Who started it.
    pub started_by: String,
    /// The workflow run.
    #[serde(default)]
    pub run: Option<String>,
    /// How far it is.
    pub status: ReportStatus,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was over.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// The report that it is compared with.
    #[serde(default)]
    pub previous: Option<String>,
    /// Its batches, once they are known.
    #[serde(default)]
    pub batches: Option<u32>,
    /// Why it failed, or what is wrong with some of its templates.
    #[serde(default)]
    pub problems: Vec<Text>,
    /// What was found, in numbers.
    #[serde(default)]
    pub totals: Totals,
}

/// How many targets ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCounts {
    /// All of them.
    pub total: u32,
    /// Answered and judged.
    pub inspected: u32,
    /// Their agent was not connected.
    pub offline: u32,
    /// The script did not end in time.
    pub timed_out: u32,
    /// The script could not run, or its answer could not be read.
    pub failed: u32,
    /// No agent is known for them.
    pub no_agent: u32,
    /// Stopped by somebody.
    pub cancelled: u32,
}

impl TargetCounts {
    /// Counts one.
    pub fn count(&mut self, state: TargetState) {
        self.total += 1;
        *match state {
            TargetState::Inspected => &mut self.inspected,
            TargetState::Offline => &mut self.offline,
            TargetState::TimedOut => &mut self.timed_out,
            TargetState::Failed => &mut self.failed,
            TargetState::NoAgent => &mut self.no_agent,
            TargetState::Cancelled => &mut self.cancelled,
        } += 1;
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.inspected += other.inspected;
        self.offline += other.offline;
        self.timed_out += other.timed_out;
        self.failed += other.failed;
        self.no_agent += other.no_agent;
        self.cancelled += other.cancelled;
    }
}

/// What a report, or a part of one, adds up to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Targets.
    pub targets: TargetCounts,
    /// Checks on targets.
    pub counts: Counts,
    /// Scores.
    pub mean: Mean,
    /// What changed.
    pub changes: ChangeCounts,
    /// Each check over all targets.
    pub checks: Vec<CheckTotals>,
}

/// One check over all targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckTotals {
    /// The template's place in the report.
    pub plan: u32,
    /// The check's id.
    pub check: String,
    /// How it ended on them.
    pub counts: Counts,
}

impl Totals {
    /// Takes in a target.
    pub fn push(&mut self, target: &Target) {
        self.targets.count(target.state);
        self.counts.add(&target.counts);
        self.mean.push(target.score);
        self.changes.add(&ChangeCounts::of(&target.changes));
        for result in &target.results {
            self.check(target.plan, &result.check).count(result.status);
        }
    }

    /// Takes in what another part adds up to.
    pub fn add(&mut self, other: &Self) {
        self.targets.add(&other.targets);
        self.counts.add(&other.counts);
        self.mean.add(other.mean);
        self.changes.add(&other.changes);
        for check in &other.checks {
            self.check(check.plan, &check.check).add(&check.counts);
        }
    }

    fn check(&mut self, plan: u32, check: &str) -> &mut Counts {
        let at = match self.checks.iter().position(|known| known.plan == plan && known.check == check) {
            Some(at) => at,
            None => {
                self.checks.push(CheckTotals { plan, check: check.to_owned(), counts: Counts::default() });
                self.checks.len() - 1
            }
        };
        // Either found or pushed just now.
        #[allow(clippy::indexing_slicing)]
        &mut self.checks[at].counts
    }
}

/// A template as a report used it. Edits that come later change no report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The report.
    pub report: String,
    /// Its place.
    pub index: u32,
    /// With the inspection's own thresholds and parameters, without the checks that are off.
    pub template: Template,
    /// Marks the driver's lines.
    pub nonce: String,
    /// The filter then.
    pub filter: String,
}

/// A target before it is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// Its record's place in the report.
    pub index: u32,
    /// The CMDB instance.
    pub instance: String,
    /// What people call it.
    pub label: String,
    /// Where its agent is; none when no agent is known.
    #[serde(default)]
    pub node: Option<String>,
    /// What its script is told.
    #[serde(default)]
    pub env: std::collections::BTreeMap<String, String>,
    /// Not asked, for this reason.
    #[serde(default)]
    pub not_asked: Option<TargetState>,
}

/// Targets that are graded together: a part of a wave, which one job asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch {
    /// The report.
    pub report: String,
    /// Its place.
    pub index: u32,
    /// Which template.
    pub plan: u32,
    /// The wave that it is part of.
    pub wave: u32,
    /// The targets.
    pub targets: Vec<Asked>,
    /// The job.
    #[serde(default)]
    pub execution: Option<String>,
    /// Its targets' records are written.
    #[serde(default)]
    pub graded: bool,
    /// What they add up to.
    #[serde(default)]
    pub totals: Totals,
}

/// How asking a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Answered and judged.
    Inspected,
    /// Its agent was not connected.
    Offline,
    /// The script did not end in time.
    TimedOut,
    /// The script could not run, or its answer could not be read.
    Failed,
    /// No agent is known for it.
    NoAgent,
    /// Stopped by somebody.
    Cancelled,
}

/// What was found on a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// The report.
    pub report: String,
    /// Its place in the report, for paging.
    pub index: u32,
    /// Which template.
    pub plan: u32,
    /// Template and instance: the identity by which reports are compared.
    pub key: String,
    /// The CMDB model.
    pub model: String,
    /// The CMDB instance.
    pub instance: String,
    /// The node.
    pub node: Option<String>,
    /// What people call it.
    pub label: String,
    /// How asking it ended.
    pub state: TargetState,
    /// Why it could not be inspected.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub reason: Text,
    /// 0 to 100; none when nothing could be judged.
    pub score: Option<u32>,
    /// Its worst finding, for sorting: 0 Fatal, 1 Warning, 2 Notification, 3 none, 4 not inspected.
    pub rank: u32,
    /// Checks by how they ended.
    pub counts: Counts,
    /// Each check.
    pub results: Vec<CheckResult>,
    /// What is different from the last report.
    #[serde(default)]
    pub changes: Vec<Changed>,
    /// How many those are, to find the targets that have some.
    #[serde(default)]
    pub changed: u32,
    /// Checks that found something, or could not be evaluated: to find the targets of a check.
    #[serde(default)]
    pub found: Vec<String>,
    /// How long its script took.
    #[serde(default)]
    pub duration_ms: u64,
}

impl Target {
    /// Checks that have something to say.
    pub fn found_in(results: &[CheckResult]) -> Vec<String> {
        let speaks = |result: &&CheckResult| result.status.level().is_some() || result.status == Status::Error;
        results.iter().filter(speaks).map(|result| result.check.clone()).collect()
    }

    /// The worst status as a number that sorts.
    pub fn rank_of(state: TargetState, results: &[CheckResult]) -> u32 {
        if state != TargetState::Inspected {
            return 4;
        }
        match results.iter().filter(|result| result.status.level().is_some()).map(|result| result.status).min() {
            Some(Status::Fatal) => 0,
            Some(Status::Warning) => 1,
            Some(_) => 2,
            None => 3,
        }
    }
}

/// The commands' own words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetEvidence {
    /// The report.
    pub report: String,
    /// Each check.
    pub checks: Vec<Evidence>,
}
