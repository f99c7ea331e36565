const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

const WEEKDAY = '(?:mon|tue|wed|thu|fri|sat|sun)';
const LONG_WEEKDAY = '(?:mon|tues|wednes|thurs|fri|satur|sun)day';
const MONTH = `(?<month>${MONTHS.join('|')})`;
const TIME = '(?<hour>[01]\\d|2[0-3]):(?<minute>[0-5]\\d):(?<second>[0-5]\\d|60)';

// RFC 9111 4.2 wants caches to match dates in any letter case, but no zone other than GMT.
const FORMATS = [
  `${WEEKDAY}, (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT`,
  `${LONG_WEEKDAY}, (?<day>\\d\\d)-${MONTH}-(?<year>\\d\\d) ${TIME} GMT`,
  `${WEEKDAY} ${MONTH} (?<day>\\d\\d| \\d) ${TIME} (?<year>\\d{4})`,
].map((format) => new RegExp(`^${format}$`, 'i'));

/**
 * The time an HTTP-date names (RFC 9110 5.6.7), in milliseconds since the epoch; undefined for anything that is
 * not an IMF-fixdate, an RFC 850 date or an asctime date, and for days that no calendar has. The weekday must be one,
 * but not the right one: it carries nothing.
 *
 * @param now what a two-digit year is relative to
 */
export function parseHttpDate(text: string, now: number = Date.now()): number | undefined {
  for (const format of FORMATS) {
    const fields = format.exec(text)?.groups;
    if (fields === undefined) continue;
    const { year = '' } = fields;
    return year.length === 4 ? timestamp(Number(year), fields) : latestWithin50Years(fields, now);
  }
  return undefined;
}

/**
 * An IMF-fixdate (RFC 9110 5.6.7), with fractions of a second cut off.
 *
 * @throws RangeError where the format has no room for the year (before 0, after 9999)
 */
export function formatHttpDate(ms: number): string {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9999)) throw new RangeError(`${ms} ms is no time that an HTTP-date can name`);
  return date.toUTCString();
}

/** Unlike `Date.UTC`, takes the years 0 to 99 for what they are and the 30th of February for nothing. */
function timestamp(fullYear: number, fields: Record<string, string>): number | undefined {
  const { month = '', day, hour, minute, second } = fields;
  const date = new Date(0);
  date.setUTCFullYear(fullYear, MONTHS.indexOf(month.toLowerCase()), Number(day));
  if (date.getUTCDate() !== Number(day)) return undefined;
  return date.setUTCHours(Number(hour), Number(minute), Number(second));
}

/** RFC 9110 5.6.7: what appears to be more than 50 years in the future is the most recent such year in the past. */
function latestWithin50Years(fields: Record<string, string>, now: number): number | undefined {
  const { year: twoDigits } = fields;
  const limit = new Date(now);
  limit.setUTCFullYear(limit.getUTCFullYear() + 50);
  const year = Math.floor(limit.getUTCFullYear() / 100) * 100 + Number(twoDigits);
  const time = timestamp(year, fields);
  // Undefined where only one of the two centuries has that 29th of February.
  return time !== undefined && time <= limit.getTime() ? time : timestamp(year - 100, fields);
}
